"""MVP learns to find the candidate with the query's word, from weights at random."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from retr.encoders.objectives.mvp import MVPLoss  # noqa: E402
from retr.encoders.trainable.mvp import MVPSettings, open_mvp  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402

WORDS = ["red", "blue", "fish", "swims", "cold", "water", "stone", "falls", "sky", "the"]
STEPS, RATE = 150, 2e-3


def batches(seed: int, size: int) -> Iterator[Batch]:
    """A word asks; of five candidates of three other words each, the first has it in the place of one."""
    random = Random(seed)
    while True:
        queries, positives, negatives = [], [], []
        for _ in range(size):
            asked = random.choice(WORDS)
            others = [random.sample([word for word in WORDS if word != asked], 3) for _ in range(5)]
            others[0][random.randrange(3)] = asked
            queries.append(asked)
            positives.append(" ".join(others[0]))
            negatives.append(tuple(" ".join(words) for words in others[1:]))
        yield Batch(tuple(queries), tuple(positives), tuple(negatives))


@pytest.fixture
def start(make_t5: Callable[..., Path], tmp_path: Path) -> Path:
    """A T5 of 64 numbers with transformers' own first weights; the fixture's are large, and learn nothing."""
    like = make_t5()
    told = json.loads((like / "config.json").read_text())
    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_decoder_layers": 1, "dropout_rate": 0.0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.T5Model(transformers.T5Config(**{**told, **sizes}))
    for side in (model.encoder, model.decoder):
        torch.nn.init.constant_(side.final_layer_norm.weight, 0.3)
    model.save_pretrained(tmp_path / "t5")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(like / name, tmp_path / "t5" / name)
    return tmp_path / "t5"


@pytest.mark.slow
def test_the_candidate_with_the_querys_word_comes_first(start: Path) -> None:
    learner = open_mvp(start, MVPSettings(max_tokens=24))
    learner.module.train()
    optimiser = torch.optim.AdamW(learner.module.parameters(), lr=RATE, weight_decay=0.0)
    rows = batches(1, 16)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATE * min(1, step / 30) * (1 - step / STEPS)
        MVPLoss()(learner, next(rows)).backward()
        torch.nn.utils.clip_grad_norm_(learner.module.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    learner.module.eval()
    held = next(batches(2, 100))
    with torch.no_grad():
        found = learner.score(held.queries, held.candidates)
    ranks = torch.stack([1 + (scores > scores[0]).sum() for scores in found]).float()
    assert float((1 / torch.log2(1 + ranks)).mean()) > 0.95

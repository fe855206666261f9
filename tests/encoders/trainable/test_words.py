"""Hidden words: which are hidden, what it costs not to know them, and a Uni-Encoder that learns to say them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from retr.encoders import load_scorer  # noqa: E402
from retr.encoders.objectives.words import ListwiseMLM  # noqa: E402
from retr.encoders.trainable.bi import open_bi  # noqa: E402
from retr.encoders.trainable.uni import UniSettings, UniStudent, open_uni  # noqa: E402
from retr.encoders.trainable.words import Hiding, hiding, open_head, words_of  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

QUERIES = ["the red fish swims", "a stone falls from the sky"]
TEXTS = [["cold water", "blue sky"], ["stone", "red fish in cold water"]]
SETTINGS = UniSettings(context_tokens=24, candidate_tokens=16)
MakeFolder = Callable[..., Path]


@pytest.fixture
def student(make_folder: MakeFolder) -> UniStudent:
    made = open_uni(make_folder("bert"), SETTINGS)
    made.learn_words()
    for part in made.module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return made


def test_a_share_is_hidden_of_which_most_are_masked() -> None:
    torch.manual_seed(0)
    ids = torch.randint(5, 1000, (50, 400))
    ids[:, 0] = 3
    real = torch.ones_like(ids, dtype=torch.bool)
    real[:, 300:] = False
    read, chosen = Hiding(0.15, 4, (0, 1, 2, 3), 1000)(ids, real)
    assert not chosen[:, 0].any() and not chosen[:, 300:].any()
    assert torch.equal(read[~chosen], ids[~chosen])
    assert chosen.sum() / (50 * 299) == pytest.approx(0.15, abs=0.01)
    said, was = read[chosen], ids[chosen]
    shares = [float((said == 4).float().mean()), float(((said != 4) & (said != was)).float().mean())]
    assert shares == pytest.approx([0.8, 0.1], abs=0.03)


def test_scores_and_loss_are_of_texts_without_their_hidden_words(student: UniStudent) -> None:
    student.module.train()
    torch.manual_seed(5)
    found, loss = student.score_hiding(QUERIES, TEXTS, 0.4)
    hide, backbone = hiding(student.backbone, 0.4), student.backbone
    rows = [
        [student.cutting.context(query), *student.cutting.candidates(texts)]
        for query, texts in zip(QUERIES, TEXTS, strict=True)
    ]
    longest_first = sorted(rows, key=lambda row: -sum(map(len, row)))
    torch.manual_seed(5)
    ids, layout = student._laid_out(longest_first)
    read, chosen = hide(ids, layout.blocks >= 0)
    assert 3 < chosen.sum() < ids.numel() - 3
    with torch.no_grad():
        states = backbone.masked_states(read, layout)
        words, expected = words_of(backbone), []
        for row, place in chosen.nonzero().tolist():
            logits = student.module.words(states[row, place][None], words)[0].double().numpy()
            expected.append(np.log(np.exp(logits).sum()) - logits[ids[row, place]])
        scores = student.module(states, layout.blocks, 2)
    assert float(loss.detach()) == pytest.approx(np.mean(expected), rel=1e-5)
    for query, texts, given in zip(QUERIES, TEXTS, found, strict=True):
        place = longest_first.index([student.cutting.context(query), *student.cutting.candidates(texts)])
        np.testing.assert_allclose(given.detach().numpy(), scores[place].numpy(), atol=1e-5)
    assert (
        max(float((a - b).detach().abs().max()) for a, b in zip(found, student.score(QUERIES, TEXTS), strict=True))
        > 0.01
    )


@pytest.mark.parametrize(("family", "name"), [("bert", "Bert"), ("roberta", "Roberta"), ("distilbert", "DistilBert")])
def test_a_folders_own_head_says_what_transformers_says(
    family: str, name: str, make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = make_folder(family)
    config = transformers.AutoConfig.from_pretrained(str(folder))
    torch.manual_seed(1)
    whole = getattr(transformers, f"{name}ForMaskedLM")(config).eval()
    whole.save_pretrained(str(tmp_path))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_text((folder / file).read_text())
    opened = open_uni(tmp_path, SETTINGS)
    ids = torch.tensor([[1, 7, 9, 11, 2]])
    with torch.no_grad():
        states = opened.backbone.model(ids).last_hidden_state[0]
        found = open_head(opened.backbone, 0).eval()(states, words_of(opened.backbone))
        torch.testing.assert_close(found, whole(ids).logits[0], atol=1e-4, rtol=1e-4)


def test_the_objective_is_both_losses_in_training_and_the_ranking_alone_else(student: UniStudent) -> None:
    batch = Batch(queries=tuple(QUERIES), positives=("cold water", "stone"), negatives=(("blue sky",), ("red fish",)))
    objective = ListwiseMLM(in_batch=False, weight=0.5)
    student.module.train()
    torch.manual_seed(2)
    both = objective(student, batch)
    torch.manual_seed(2)
    scores, words = student.score_hiding(batch.queries, batch.candidates, 0.15)
    ranking = -torch.stack([torch.log_softmax(row, 0)[0] for row in scores]).mean()
    torch.testing.assert_close(both, ranking + 0.5 * words)
    both.backward()
    assert all(value.grad is not None for value in student.module.words.parameters())
    student.module.eval()
    alone = -torch.stack(
        [torch.log_softmax(row, 0)[0] for row in student.score(batch.queries, batch.candidates)]
    ).mean()
    torch.testing.assert_close(objective(student, batch), alone)


def test_others_are_refused_and_so_are_shares_that_are_none(make_bi: Any) -> None:
    with pytest.raises(BadInput, match=r"trains a Uni-Encoder, .* and this is a BiStudent"):
        ListwiseMLM().prepare(open_bi(make_bi()))
    for share in (0.0, 1.0):
        with pytest.raises(BadInput, match="share is"):
            ListwiseMLM(share=share)


def test_a_recipe_trains_with_hidden_words_goes_on_and_saves_no_head(make_folder: MakeFolder, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    from retr.encoders.training.recipe import read_recipe

    rows = [{"query": query, "positive": texts[0]} for query, texts in zip(QUERIES * 2, TEXTS * 2, strict=True)]
    rows += [{"query": f"{query} {at}", "positive": "red water"} for at, query in enumerate(QUERIES)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(
        f'kind = "uni"\nmodel = {json.dumps(str(make_folder("bert")))}\nout = "out"\n'
        f'[data]\nfiles = {json.dumps(str(tmp_path / "rows.jsonl"))}\n[objective]\nname = "listwise-mlm"\n'
        "[student]\ncontext_tokens = 24\ncandidate_tokens = 16\n"
        '[train]\nsteps = 3\nbatch_size = 2\naccelerator = "cpu"\nlearning_rate = 1e-3\ncheckpoint_every = 1\n'
    )
    plan = tmp_path / "recipe.toml"
    read_recipe(plan, out=tmp_path / "whole").job().run(tmp_path / "whole")

    def cut(unit: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_recipe(plan).job().run(tmp_path / "cut", cut)
    read_recipe(plan).job().run(tmp_path / "cut")
    for name in ("model.safetensors", "uni.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    assert np.isfinite(load_scorer(f"uni={tmp_path / 'whole'}").score(QUERIES[0], TEXTS[0])).all()

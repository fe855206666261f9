"""The student of the kind llm: what it learns with, what it saves, and that what it saves is served as it was."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

from retr.encoders import load_encoder  # noqa: E402
from retr.encoders.objectives.grad_cache import GradCache  # noqa: E402
from retr.encoders.objectives.grl import GRL  # noqa: E402
from retr.encoders.objectives.preference import PreferenceSettings  # noqa: E402
from retr.encoders.objectives.ullme import NTXent  # noqa: E402
from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.llm.decoder import without_adapters  # noqa: E402
from retr.encoders.trainable.llm.opening import open_llm  # noqa: E402
from retr.encoders.trainable.llm.settings import LlmSettings  # noqa: E402
from retr.encoders.trainable.llm.student import LlmStudent  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.encoders.training.job import TrainingJob  # noqa: E402
from retr.encoders.training.optimising import add_low_rank, checkpoint_activations  # noqa: E402
from retr.encoders.training.rows import RowsSettings  # noqa: E402
from retr.encoders.training.settings import LoraSettings, TrainSettings  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

TEXTS = ["the red fish swims", "", "a stone", "from the sky falls a fish in cold water"]
BOTH = LlmSettings(attention="bidirectional", query_prompt="query : ")


@pytest.fixture(scope="module")
def llama(make_decoder: Any) -> Path:
    return make_decoder("llama", lm=True)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", LlmSettings()),
        ("mistral", BOTH),
        ("gpt2", LlmSettings(attention="bidirectional", pooling="weightedmean+cls")),
        ("qwen3", LlmSettings(pooling="latent-layers", latents=3, heads=2)),
        ("gemma2", LlmSettings(attention="bidirectional", pooling="latent-layers", latents=3, heads=2)),
        ("llama", LlmSettings("bidirectional", "latent", 3, 4, include_prompt=False, document_prompt="a : ")),
        ("opt", LlmSettings(pooling="latent", latents=2, heads=2)),
    ],
)  # fmt: skip
def test_what_is_saved_is_served_as_it_was(
    make_decoder: Any, tmp_path: Path, family: str, settings: LlmSettings
) -> None:
    student = open_llm(make_decoder(family), settings)
    with torch.no_grad():
        expected = student.encode_queries(TEXTS).numpy(), student.encode_documents(TEXTS).numpy()
    student.save(tmp_path / "model")
    served = load_encoder(str(tmp_path / "model"))
    assert type(served).__name__ == "LlmEncoder"
    np.testing.assert_allclose(served.encode_queries(TEXTS).values, expected[0], atol=2e-5)
    np.testing.assert_allclose(served.encode_documents(TEXTS).values, expected[1], atol=2e-5)
    again = open_llm(tmp_path / "model")
    with torch.no_grad():
        np.testing.assert_allclose(again.encode_documents(TEXTS).numpy(), expected[1], atol=2e-5)


@pytest.mark.parametrize(("family", "settings"), [("mistral", BOTH), ("llama", LlmSettings())])
def test_sentence_transformers_gives_the_same_vectors(
    make_decoder: Any, tmp_path: Path, family: str, settings: LlmSettings
) -> None:
    library = pytest.importorskip("sentence_transformers")
    student = open_llm(make_decoder(family), settings)
    student.save(tmp_path)
    model = library.SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    texts = [text for text in TEXTS if text]
    found = model.encode(texts, prompt=student.table.query_prompt or None)
    with torch.no_grad():
        np.testing.assert_allclose(found, student.encode_queries(texts).numpy(), atol=2e-5)


def test_a_text_ends_in_its_end_token_however_long(llama: Path, tmp_path: Path) -> None:
    student = open_llm(llama, None, BackboneSettings(max_tokens=8))
    ids = student.tokenizer.encode("fish " * 30).ids
    assert (len(ids), ids[-1]) == (8, 2)
    student.save(tmp_path / "model")
    saved = load_encoder(f"llm={tmp_path / 'model'}")
    assert saved.tokenizer.encode("fish " * 30).ids == ids
    assert open_llm(llama, LlmSettings(append_end=False)).tokenizer.encode("fish").ids[-1] != 2


def test_the_probability_of_a_text_is_that_of_its_tokens_one_by_one(llama: Path) -> None:
    student = open_llm(llama, LlmSettings(attention="bidirectional", generates=True))
    queries, documents = ["red", "in cold water"], ["a stone falls", "fish"]
    sums, counts = student.log_probs(queries, documents)
    prompts = student.generation.prompts(queries)
    targets = student.generation.targets(documents, prompts)
    causal = open_llm(llama, LlmSettings(generates=True)).decoder.model
    for row, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
        assert target[-1] == 2
        with torch.no_grad():
            logits = causal(input_ids=torch.tensor([[*prompt, *target]])).logits[0].log_softmax(-1)
        total = sum(logits[len(prompt) + at - 1, token] for at, token in enumerate(target))
        torch.testing.assert_close(sums[row], total, atol=1e-4, rtol=1e-4)
        assert counts[row] == len(target)


def test_a_long_query_is_cut_and_not_what_follows_it(llama: Path) -> None:
    settings = LlmSettings(generates=True, generation_prompt="query : {query} in water")
    texts = open_llm(llama, settings, BackboneSettings(max_tokens=16)).generation
    short, long = texts.prompts(["red", "fish " * 30])
    assert len(long) == 8
    assert long[-2:] == short[-2:]
    assert long[:2] == short[:2]
    (target,) = texts.targets(["stone " * 30], [long])
    assert (len(target), target[-1]) == (8, 2)


def test_without_logits_there_is_no_probability(llama: Path) -> None:
    with pytest.raises(BadInput, match="generates = true"):
        open_llm(llama).log_probs(["a"], ["b"])


def test_low_rank_updates_are_switched_off_for_the_reference(llama: Path) -> None:
    student = open_llm(llama, LlmSettings(generates=True))
    base = student.log_probs(["red"], ["fish"])[0].detach()
    with pytest.raises(BadInput, match="There is no reference"):
        student.reference_log_probs(["red"], ["fish"])
    add_low_rank(student.module, LoraSettings(rank=2))
    learning = [name for name, value in student.module.named_parameters() if value.requires_grad]
    assert learning
    assert all("lora" in name for name in learning)
    with torch.no_grad():
        for name, value in student.module.named_parameters():
            if "lora_B" in name:
                value += 0.5
    changed = student.log_probs(["red"], ["fish"])[0].detach()
    assert not torch.allclose(changed, base, atol=1e-3)
    torch.testing.assert_close(student.reference_log_probs(["red"], ["fish"])[0], base)
    with without_adapters(student.decoder.model) as switched:
        assert switched
        torch.testing.assert_close(student.log_probs(["red"], ["fish"])[0].detach(), base)


def test_a_copy_is_the_reference_where_all_weights_learn(llama: Path) -> None:
    student = open_llm(llama, LlmSettings(generates=True, reference=True))
    base = student.log_probs(["red"], ["fish"])[0].detach()
    with torch.no_grad():
        for value in student.module.parameters():
            value *= 0.9
    torch.testing.assert_close(student.reference_log_probs(["red"], ["fish"])[0], base)


BATCH = Batch(
    ("red", "stone", "sky"),
    ("the red fish swims", "a stone falls", "from the sky"),
    (("a stone", "cold water"), ("fish",), ("in cold water",)),
)


def gradients(student: LlmStudent, objective: Any) -> dict[str, Any]:
    student.module.train()
    student.module.zero_grad()
    torch.manual_seed(1)
    objective(student, BATCH).backward()
    return {name: value.grad.clone() for name, value in student.module.named_parameters() if value.grad is not None}


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")
def test_chunks_and_layers_computed_twice_give_the_gradient_of_the_whole(llama: Path) -> None:
    settings = LlmSettings(attention="bidirectional", generates=True, reference=True)
    student = open_llm(llama, settings)
    objective = GRL(vectors=NTXent(margin=None))
    whole = gradients(student, objective)
    assert all(value.any() for value in whole.values())
    chunked = gradients(student, GradCache(1).around(objective))
    checkpoint_activations(student.module)
    twice = gradients(student, objective)
    for found in (chunked, twice):
        assert found.keys() == whole.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, whole[name], atol=1e-4, rtol=1e-3)


def test_a_run_with_every_part_learns_and_is_served(llama: Path, tmp_path: Path) -> None:
    rows = [
        {"query": "red", "positive": "the red fish swims", "negatives": ["a stone falls"]},
        {"query": "stone", "positive": "a stone falls", "negatives": ["cold water"]},
        {"query": "water", "positive": "in cold water", "negatives": ["the red fish swims"]},
        {"query": "sky", "positive": "from the sky", "negatives": ["in cold water"]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = LlmSettings(attention="bidirectional", generates=True, head=True)
    student = open_llm(llama, settings)
    objective = GRL(vectors=NTXent(margin=None))
    train = TrainSettings(
        steps=30, batch_size=4, learning_rate=2e-2, lora=LoraSettings(rank=4), accelerator="cpu", log_every=5,
    )  # fmt: skip
    job = TrainingJob(student, RowsSettings(str(tmp_path / "rows.jsonl"), negatives="negatives"), objective, train)
    job.run(tmp_path / "out")
    served = load_encoder(str(tmp_path / "out"))
    scores = (
        served.encode_queries([row["query"] for row in rows]).values
        @ served.encode_documents([row["positive"] for row in rows]).values.T
    )
    assert (scores.argmax(1) == np.arange(4)).all()
    assert json.loads((tmp_path / "out" / "retr.json").read_text())["llm"]["attention"] == "bidirectional"


def test_settings_that_do_not_fit_are_refused(llama: Path) -> None:
    for told, message in [
        ({"pooling": "latent+mean"}, "stand alone"),
        ({"attention": "both"}, "attention is causal, bidirectional"),
        ({"generation_prompt": "no place"}, "must hold {query}"),
        ({"reference": True}, "generates false"),
        ({"similarity": "cosine", "normalise": False}, "Set similarity to dot"),
    ]:
        with pytest.raises(BadInput, match=message):
            LlmSettings(**told)
    with pytest.raises(BadInput, match="layers is 9"):
        open_llm(llama, None, BackboneSettings(layers=9))
    assert PreferenceSettings().beta == 0.1

"""Models trained here open in sentence-transformers with the same answers, and models trained there open here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")
sentence_transformers = pytest.importorskip("sentence_transformers")

from retr.encoders import load_encoder, load_scorer  # noqa: E402
from retr.encoders.objectives.contrastive import InfoNCE  # noqa: E402
from retr.encoders.objectives.listwise import BinaryCrossEntropy  # noqa: E402
from retr.encoders.trainable.bi import BiSettings, open_bi  # noqa: E402
from retr.encoders.trainable.cross import open_cross  # noqa: E402
from retr.encoders.training.job import TrainingJob  # noqa: E402
from retr.encoders.training.rows import RowsSettings  # noqa: E402
from retr.encoders.training.settings import TrainSettings  # noqa: E402

QUERIES = ["the red fish", "a stone", "", "cold water", "the sky falls from the sky"]
TEXTS = ["a stone falls", "the red fish swims in cold water", "blue sky", "", "a fish"]
STEPS = TrainSettings(steps=6, batch_size=2, learning_rate=3e-3, accelerator="cpu")


@pytest.fixture
def rows(tmp_path: Path) -> RowsSettings:
    lines = [
        {"query": query or "?", "positive": text or "?", "negative": other or "?"}
        for query, text, other in zip(QUERIES, TEXTS, TEXTS[1:] + TEXTS[:1], strict=True)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RowsSettings(str(path), negatives="negative")


def vectors_there(folder: Path, texts: list[str], name: str) -> Any:
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(texts, prompt_name=name if model.prompts.get(name) else None, show_progress_bar=False)


def scores_there(folder: Path, max_length: int | None = None) -> Any:
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
    pairs = [(query, text) for query in QUERIES for text in TEXTS]
    return model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)


def scores_here(folder: Path) -> Any:
    scorer = load_scorer(f"cross={folder}")
    return np.concatenate([scorer.score(query, TEXTS) for query in QUERIES])


@pytest.mark.parametrize("settings", [BiSettings(), BiSettings("cls+mean", 12, query_prompt="query: ")])
def test_a_bi_encoder_trained_here_gives_the_same_vectors_there(
    make_bi: Callable[..., Path], rows: RowsSettings, tmp_path: Path, settings: BiSettings
) -> None:
    start = make_bi("bert", seed=2)
    TrainingJob(open_bi(start, settings), rows, InfoNCE(), STEPS).run(tmp_path / "out")
    encoder = load_encoder(str(tmp_path / "out"))
    queries, documents = encoder.encode_queries(QUERIES).values, encoder.encode_documents(TEXTS).values
    np.testing.assert_allclose(vectors_there(tmp_path / "out", QUERIES, "query"), queries, atol=1e-5)
    np.testing.assert_allclose(vectors_there(tmp_path / "out", TEXTS, "document"), documents, atol=1e-5)
    before = load_encoder(str(start)).encode_documents(TEXTS).values
    assert documents.shape != before.shape or np.abs(documents - before).max() > 1e-2


def test_a_bi_encoder_trained_there_gives_the_same_vectors_here(
    make_bi: Callable[..., Path], rows: RowsSettings, tmp_path: Path
) -> None:
    model = sentence_transformers.SentenceTransformer(str(make_bi("bert", seed=2)), device="cpu")
    loss = sentence_transformers.sentence_transformer.losses.MultipleNegativesRankingLoss(model)
    learn(model, lambda: loss([features(model, QUERIES), features(model, TEXTS)], None))
    expected = model.encode(TEXTS, show_progress_bar=False)
    model.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)
    encoder = load_encoder(str(tmp_path / "theirs"))
    np.testing.assert_allclose(encoder.encode_documents(TEXTS).values, expected, atol=1e-5)
    student = open_bi(tmp_path / "theirs")
    student.module.eval()
    with torch.no_grad():
        np.testing.assert_allclose(student.encode_documents(TEXTS).numpy(), expected, atol=1e-5)
    TrainingJob(open_bi(tmp_path / "theirs"), rows, InfoNCE(), STEPS).run(tmp_path / "out")
    found = load_encoder(str(tmp_path / "out")).encode_documents(TEXTS).values
    np.testing.assert_allclose(vectors_there(tmp_path / "out", TEXTS, "document"), found, atol=1e-5)


@pytest.mark.parametrize("head", ["of the folder", "new"])
def test_a_cross_encoder_trained_here_gives_the_same_scores_there(
    make_cross: Callable[..., Path], make_bi: Callable[..., Path], rows: RowsSettings, tmp_path: Path, head: str
) -> None:
    start = make_bi("bert") if head == "new" else make_cross("bert")
    TrainingJob(open_cross(start), rows, BinaryCrossEntropy(), STEPS).run(tmp_path / "out")
    found = scores_here(tmp_path / "out")
    assert np.ptp(found) > 1e-2
    np.testing.assert_allclose(scores_there(tmp_path / "out"), found, atol=1e-5)


def test_a_cross_encoder_trained_there_gives_the_same_scores_here(
    make_cross: Callable[..., Path], tmp_path: Path
) -> None:
    start = make_cross("bert")
    model = sentence_transformers.CrossEncoder(str(start), device="cpu")
    before = scores_there(start)
    loss = sentence_transformers.cross_encoder.losses.BinaryCrossEntropyLoss(model)
    labels = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    learn(model, lambda: loss([QUERIES, TEXTS], labels))
    model.save_pretrained(str(tmp_path / "theirs"))
    expected = scores_there(tmp_path / "theirs")
    assert np.abs(expected - before).max() > 1e-2
    np.testing.assert_allclose(scores_here(tmp_path / "theirs"), expected, atol=1e-5)
    student = open_cross(tmp_path / "theirs")
    student.module.eval()
    with torch.no_grad():
        ours = torch.cat(student.score(QUERIES, [TEXTS] * len(QUERIES))).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def features(model: Any, texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = model.preprocess(texts)
    return found


def learn(model: Any, loss: Callable[[], Any]) -> None:
    """Six steps of their loss."""
    steps = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(6):
        steps.zero_grad()
        loss().backward()
        steps.step()
    model.eval()

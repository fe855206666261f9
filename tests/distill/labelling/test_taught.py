"""Training from labels by id: the same labels give the same weights, and a missing one stops the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

from retr.distill.labelling.asking import LabelSettings, label_pairs, label_texts  # noqa: E402
from retr.distill.labelling.store import Labels  # noqa: E402
from retr.distill.labelling.taught import EmbeddingMSE, Taught  # noqa: E402
from retr.encoders.objectives.listwise import ListwiseSoftmax  # noqa: E402
from retr.encoders.trainable.bi import BiSettings, open_bi  # noqa: E402
from retr.encoders.training.job import TrainingJob  # noqa: E402
from retr.encoders.training.settings import TrainSettings  # noqa: E402
from retr.retrieval.errors import BadInput, Mismatch, NotFound  # noqa: E402

SETTINGS = TrainSettings(steps=3, batch_size=4, learning_rate=1e-3, accelerator="cpu", log_every=1)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_labels_in_another_order_train_the_same_weights(rows: Any, counting: Any, make_bi: Any, tmp_path: Path) -> None:
    labels = label_pairs(rows, [counting(factor=0.01)], tmp_path / "l", LabelSettings(part=8))

    def run(name: str, labels: Labels) -> bytes:
        objective = Taught(ListwiseSoftmax(student="vectors"), labels)
        TrainingJob(open_bi(make_bi(seed=1)), rows.settings, objective, SETTINGS).run(tmp_path / name)
        return weights(tmp_path / name)

    first = run("one", labels)
    (tmp_path / "m" / "parts").mkdir(parents=True)
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables([pq.read_table(part) for part in (tmp_path / "l" / "parts").iterdir()])
    order = np.random.default_rng(0).permutation(len(table))
    pq.write_table(table.take(order), tmp_path / "m" / "parts" / "000000.parquet")
    (tmp_path / "m" / "labels.json").write_text((tmp_path / "l" / "labels.json").read_text())
    assert run("two", Labels(tmp_path / "m")) == first
    pq.write_table(table.take(order[:-1]), tmp_path / "m" / "parts" / "000000.parquet")
    with pytest.raises(NotFound, match="has no label"):
        run("three", Labels(tmp_path / "m"))
    other = label_pairs(rows, [counting(factor=0.05)], tmp_path / "n")
    assert run("four", other) != first


class Encoder:
    dim, similarity, fingerprint = 2, "dot", "e"

    def encode_queries(self, texts: list[str]) -> Any:
        from retr.retrieval.embeddings import Vectors

        return Vectors(np.array([[len(text), 0] for text in texts], np.float32))

    encode_documents = encode_queries


class Given:
    """A student whose vectors are one number less than the teacher's."""

    def encode_queries(self, texts: list[str]) -> Any:
        return torch.tensor([[len(text) - 1.0, 0.0] for text in texts])

    def encode_documents(self, texts: list[str]) -> Any:
        return torch.tensor([[float(len(text)), 2.0] for text in texts])


def test_vectors_are_met_by_text_and_side(rows: Any, tmp_path: Path) -> None:
    labels = label_texts(rows, Encoder(), tmp_path / "l", name="e")  # type: ignore[arg-type]
    batch = next(rows.batches(4, seed=0))
    documents = len({text for texts in batch.candidates for text in texts})
    loss = EmbeddingMSE(labels)(Given(), batch)  # type: ignore[arg-type]
    assert float(loss) == pytest.approx((4 * 1 + documents * 4) / (4 + documents))


def test_a_student_of_another_size_is_told_to_project(rows: Any, make_bi: Any, tmp_path: Path) -> None:
    labels = label_texts(rows, Encoder(), tmp_path / "l", name="e")  # type: ignore[arg-type]
    batch = next(rows.batches(4, seed=0))
    with pytest.raises(BadInput, match="projection = 2"):
        EmbeddingMSE(labels)(open_bi(make_bi()), batch)
    student = open_bi(make_bi(), BiSettings(projection=2, similarity="dot", normalise=False))
    assert EmbeddingMSE(labels)(student, batch).item() > 0


def test_labels_of_the_wrong_kind_are_refused(rows: Any, counting: Any, tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="Vectors of texts"):
        EmbeddingMSE(label_pairs(rows, [counting()], tmp_path / "l"))

"""Late models of other layouts, opened for training and saved, are sentence-transformers' own with the same vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders.late.encoder import load

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

MakeLate = Callable[..., Path]
TEXTS = ["the red fish, swims.", "a stone falls", "", "cold water in the sea"]
PREFIXES = {"query_prefix": "[unused0] ", "document_prefix": "[unused1] ", "query_length": 10, "document_length": 15}
LAYOUTS: list[tuple[str, dict[str, Any]]] = [
    ("stanford", {}),
    ("pylate", {"top": PREFIXES}),
    ("sentence-transformers", {"pooling": {"pool_factor": 2.0}, "top": {"similarity_fn_name": "meanmaxsim"}}),
]


@pytest.mark.parametrize(("layout", "settings"), LAYOUTS)
def test_a_folder_read_and_saved_gives_the_same_vectors(
    make_late: MakeLate, tmp_path: Path, layout: str, settings: dict[str, Any]
) -> None:
    from retr.encoders.trainable.late import open_late

    source = make_late(layout, **settings)
    open_late(source).save(tmp_path / "saved")
    before, after = load(str(source)), load(str(tmp_path / "saved"))
    assert (after.mean, after.pooling) == (before.mean, before.pooling)
    for name in ("encode_queries", "encode_documents"):
        one, other = getattr(before, name)(TEXTS), getattr(after, name)(TEXTS)
        assert one.offsets.tolist() == other.offsets.tolist()
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)

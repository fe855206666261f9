"""MVP as it is served: without torch, equal to torch, and refused where it is none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_scorer
from retr.encoders.mvp.scorer import load
from retr.encoders.reading.safetensors_file import read_safetensors, write_safetensors
from retr.retrieval.errors import BadInput, Damaged

QUERY = "the red fish swims"
TEXTS = ["a stone falls", "from the blue sky", "", "red", "cold water " * 20, "fish, fish", "no. 7"]
MakeFolder = Callable[..., Path]


@pytest.mark.parametrize("gated", [False, True])
def test_without_torch_scores_are_those_of_torch(make_mvp: MakeFolder, gated: bool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from retr.encoders.trainable.mvp import open_mvp

    folder = make_mvp(gated=gated, max_tokens=64)
    student = open_mvp(folder)
    student.module.eval()
    with torch.no_grad():
        expected = student.score([QUERY], [TEXTS])[0].numpy()
    served = load(str(folder))
    assert "onnxruntime" in served.describe()["runtime"] and not served.comparable
    np.testing.assert_allclose(served.score(QUERY, TEXTS), expected, atol=1e-4 * np.abs(expected).max())


def test_by_torch_too_scores_are_the_same(make_mvp: MakeFolder) -> None:
    pytest.importorskip("transformers")
    folder = make_mvp(seed=2)
    config = json.loads((folder / "config.json").read_text())
    relu = load(str(folder)).score(QUERY, TEXTS)
    (folder / "config.json").write_text(json.dumps({**config, "feed_forward_proj": "silu"}))
    silu = load(str(folder))  # not known without torch
    assert silu.describe()["runtime"].startswith("torch") and not silu.comparable
    assert np.isfinite(silu.score(QUERY, TEXTS)).all() and not np.allclose(silu.score(QUERY, TEXTS), relu, atol=0.1)


def test_half_precision_comes_near_and_keeps_the_last_products_whole(make_mvp: MakeFolder) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from retr.encoders.mvp.scorer import _by_torch
    from retr.encoders.on_torch.compute import Placement

    folder = make_mvp(seed=2)
    answer, comparable = _by_torch(folder, Placement(torch.device("cpu"), torch.float16))
    exact = load(str(folder)).score(QUERY, TEXTS)
    with torch.inference_mode():
        found = answer(QUERY, TEXTS).numpy()
    assert not comparable and found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=0.02 * np.abs(exact).max())


def test_a_text_has_the_same_views_alone_and_in_company(make_mvp: MakeFolder) -> None:
    ranker: Any = load(str(make_mvp())).answer
    rows = ranker.prompt.read(QUERY, [*TEXTS, "sky", "red fish", "the sky"])
    together = ranker.read_views(rows)
    for row, views in zip(rows, together, strict=True):
        np.testing.assert_allclose(ranker.read_views([row])[0], views, atol=1e-5)


def test_far_words_share_a_bucket_and_near_ones_do_not(make_mvp: MakeFolder) -> None:
    ranker: Any = load(str(make_mvp())).answer
    rows = ranker.t5.by_distance(40)
    assert rows.shape == (79, 4)
    zero = 39
    assert np.array_equal(rows[zero], ranker.t5.buckets[0])
    assert np.array_equal(rows[zero - 1], ranker.t5.buckets[1]) and np.array_equal(rows[zero + 1], ranker.t5.buckets[5])
    assert np.array_equal(rows[0], rows[zero - 16]) and np.array_equal(rows[-1], ranker.t5.buckets[7])


def test_every_distance_of_a_long_text_has_the_bucket_that_transformers_gives_it(make_mvp: MakeFolder) -> None:
    torch = pytest.importorskip("torch")
    attention: Any = pytest.importorskip("transformers.models.t5.modeling_t5").T5Attention
    ranker: Any = load(str(make_mvp())).answer
    t5 = replace(ranker.t5, buckets=np.arange(32.0, dtype=np.float32)[:, None], distance=128)
    away = torch.arange(-1499, 1500)
    wanted = attention._relative_position_bucket(away, bidirectional=True, num_buckets=32, max_distance=128)
    assert np.array_equal(t5.by_distance(1500)[:, 0], wanted.numpy())


def test_a_published_checkpoint_is_served_with_what_it_was_trained_with(
    make_mvp: MakeFolder, make_published: MakeFolder
) -> None:
    served = load_scorer(f"mvp={make_published(seed=6)}")
    own = load_scorer(str(make_mvp(seed=6, max_tokens=256)))
    assert served.identity["mvp"] == {"views": 4, "max_tokens": 256, "query_tokens": 0}
    np.testing.assert_array_equal(served.score(QUERY, TEXTS), own.score(QUERY, TEXTS))


def test_a_plain_t5_is_refused(make_t5: MakeFolder) -> None:
    with pytest.raises(BadInput, match="no MVP reranker"):
        load(str(make_t5()))


def test_a_folder_that_lacks_a_weight_is_damaged(make_mvp: MakeFolder) -> None:
    folder = make_mvp()
    tensors = {name: values.copy() for name, values in read_safetensors([folder / "model.safetensors"]).items()}
    del tensors["decoder.block.1.layer.1.EncDecAttention.k.weight"]
    write_safetensors(folder / "model.safetensors", tensors)
    with pytest.raises(Damaged, match="lacks the weight"):
        load(str(folder))


def test_it_cannot_be_exported_and_the_refusal_names_what_can(make_mvp: MakeFolder, tmp_path: Path) -> None:
    from retr.encoders.exporting import export

    with pytest.raises(BadInput, match="'mvp' model; accepted here are bi, cross"):
        export(str(make_mvp()), tmp_path / "out")

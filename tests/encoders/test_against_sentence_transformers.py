"""Folders encoded here and by sentence-transformers give the same vectors, for every family, pooling and prompt."""

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder, load_scorer

pytestmark = [
    pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed"),
    pytest.mark.filterwarnings("ignore"),
]

TEXTS = [
    "the red fish swims",
    "",
    "a",
    "stone falls from the blue sky in cold water",
    "zzz " * 40,
    "the red fish swims",
]
FAMILIES = ["bert", "roberta", "xlm-roberta", "mpnet", "distilbert"]
POOLINGS = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]


def oracle(folder: Path) -> Any:
    """The folder in sentence-transformers, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def assert_same(folder: Path) -> None:
    encoder, model = load_encoder(str(folder)), oracle(folder)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS).values, model.encode_query(TEXTS), atol=2e-5)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS).values, model.encode_document(TEXTS), atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_agrees(make_bi: Any, family: str) -> None:
    assert_same(make_bi(family, seed=3))


@pytest.mark.parametrize("mode", POOLINGS)
def test_every_pooling_agrees(make_bi: Any, mode: str) -> None:
    assert_same(make_bi(pooling={f"pooling_mode_{mode}": True}))


def test_two_poolings_stand_side_by_side(make_bi: Any) -> None:
    assert_same(make_bi(pooling={"pooling_mode": ["cls", "mean"], "embedding_dimension": 32}))


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_every_activation_agrees(make_bi: Any, activation: str) -> None:
    folder = make_bi(seed=7)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_act": activation}))
    assert_same(folder)


def test_prompts_go_before_the_text(make_bi: Any) -> None:
    assert_same(make_bi(settings={"prompts": {"query": "query: ", "document": "the "}}))


@pytest.mark.parametrize("mode", POOLINGS)
def test_a_prompt_can_be_left_out_of_pooling(make_bi: Any, mode: str) -> None:
    pooling = {f"pooling_mode_{mode}": True, "include_prompt": False}
    assert_same(make_bi(pooling=pooling, settings={"prompts": {"query": "query: ", "document": "the red "}}))


@pytest.mark.parametrize("activation", ["activation.Tanh", "linear.Identity", "activation.ReLU"])
def test_a_dense_layer_follows(make_bi: Any, activation: str) -> None:
    assert_same(make_bi(dense=f"torch.nn.modules.{activation}"))


def test_dot_product_vectors_keep_their_length(make_bi: Any) -> None:
    folder = make_bi(settings={"similarity_fn_name": "dot"}, normalise=False)
    assert_same(folder)
    assert load_encoder(str(folder)).similarity == "dot"


@pytest.mark.parametrize("family", FAMILIES)
def test_cross_encoders_give_the_same_logits(make_cross: Any, family: str) -> None:
    from sentence_transformers import CrossEncoder

    folder = make_cross(family, seed=5)
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    query = "the red fish " * 3
    expected = model.predict([(query, text) for text in TEXTS], activation_fn=_identity())
    np.testing.assert_allclose(load_scorer(f"cross={folder}").score(query, TEXTS), expected, atol=2e-5)


def _identity() -> Any:
    import torch

    return torch.nn.Identity()

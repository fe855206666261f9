"""The student: its pooling against a loop, the same numbers with and without torch, and its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.distill.dse.student import DseStudent, open_dse  # noqa: E402
from retr.encoders import load_encoder, load_scorer  # noqa: E402
from retr.encoders.distilled.model import load_model  # noqa: E402
from retr.encoders.distilled.shape import DseShape  # noqa: E402
from retr.encoders.exporting.texts import built_in  # noqa: E402
from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound  # noqa: E402
from retr.retrieval.scoring import SIMILARITIES  # noqa: E402

TEXTS = ["the red fish swims", "", "a stone", "in cold water", "cold " * 30]
PAIRS = [(TEXTS[0], TEXTS[2]), (TEXTS[2], TEXTS[0]), (TEXTS[1], TEXTS[3]), (TEXTS[4], TEXTS[0])]
SHAPES = [
    DseShape(layers=2, hidden=6),
    DseShape(layers=2, hidden=6, outputs=3),
    DseShape(layers=2, hidden=6, combine="mean"),
    DseShape(layers=1, hidden=6, pooling="mean_sqrt_len_tokens"),
    DseShape(layers=2, hidden=6, pooling="max", with_cls=True),
    DseShape(layers=2, hidden=6, embedding=9, symmetric=True),
    DseShape(layers=2, hidden=6, unit=True),
    DseShape(layers=2, head="dot"),
    DseShape(layers=2, head="dot", embedding=9, symmetric=True, unit=True),
]


def saved(student: DseStudent, folder: Path) -> str:
    folder.mkdir()
    student.save(folder)
    return str(folder)


def in_a_loop(student: DseStudent, text: str) -> Any:
    """The pooling of one text, read off token by token."""
    shape = student.shape
    ids = student.backbone.tokenizer.encode(text).ids
    states = student.backbone.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    top = [states[len(states) - shape.layers + number][0] for number in range(shape.layers)]
    pooled = []
    for layer in top:
        tokens = [layer[place] for place in range(0 if shape.with_cls else 1, len(ids))]
        total = sum(tokens[1:], tokens[0])
        if shape.pooling == "max":
            found = torch.stack(tokens).max(0).values
        else:
            found = total / (len(tokens) if shape.pooling == "mean" else len(tokens) ** 0.5)
        pooled.append(found)
    if shape.combine == "concat":
        return torch.cat(pooled)
    averaged = sum(top) / len(top)
    tokens = [averaged[place] for place in range(0 if shape.with_cls else 1, len(ids))]
    return sum(tokens[1:], tokens[0]) / len(tokens)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not shape.embedding], ids=str)
def test_every_pooling_is_that_of_a_loop(shape: DseShape, make_bi: Any) -> None:
    student = open_dse(make_bi(seed=1), shape)
    student.module.eval()
    with torch.no_grad():
        found = student.encode(TEXTS)
        for text, vector in zip(TEXTS, found, strict=True):
            wanted = in_a_loop(student, text)
            wanted = wanted / torch.linalg.norm(wanted) if shape.unit else wanted
            torch.testing.assert_close(vector, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", ["bert", "mpnet", "distilbert"])
def test_without_torch_it_gives_the_same_numbers(family: str, shape: DseShape, make_bi: Any, tmp_path: Path) -> None:
    student = open_dse(make_bi(family, seed=1), shape)
    student.module.eval()
    model = load_model(saved(student, tmp_path / "out"))
    with torch.no_grad():
        np.testing.assert_allclose(model.vectors(TEXTS), student.encode(TEXTS).numpy(), atol=1e-5)
        np.testing.assert_allclose(model.logits(PAIRS), student.logits(PAIRS).numpy(), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_vectors_computed_before_give_the_scores_of_texts(shape: DseShape, make_bi: Any, tmp_path: Path) -> None:
    model = load_model(saved(open_dse(make_bi(seed=1), shape), tmp_path / "out"))
    vectors = {text: model.vectors([text])[0] for text in TEXTS}
    left, right = (np.stack([vectors[pair[side]] for pair in PAIRS]) for side in (0, 1))
    np.testing.assert_allclose(model.logits_of(left, right), model.logits(PAIRS), atol=1e-4)
    every = model.every(left, right)
    np.testing.assert_allclose(every[range(4), range(4)], model.logits(PAIRS), atol=1e-4)


def test_symmetric_scores_are_those_of_both_orders(make_bi: Any, tmp_path: Path) -> None:
    folder = saved(open_dse(make_bi(seed=1), DseShape(layers=2, hidden=6, symmetric=True)), tmp_path / "out")
    model = load_model(folder)
    both = model.logits([PAIRS[0], PAIRS[1]])
    assert both[0] == pytest.approx(both[1], abs=1e-5)
    plain = load_model(saved(open_dse(make_bi(seed=1), DseShape(layers=2, hidden=6)), tmp_path / "plain"))
    one, other = plain.logits([PAIRS[0], PAIRS[1]])
    assert abs(one - other) > 1e-4
    assert both[0] == pytest.approx((one + other) / 2, abs=1e-5)


def test_first_stage_and_second_agree_for_the_dot_head(make_bi: Any, tmp_path: Path) -> None:
    folder = saved(open_dse(make_bi(seed=1), DseShape(layers=2, head="dot")), tmp_path / "out")
    encoder, scorer = load_encoder(folder), load_scorer(folder)
    assert encoder.similarity == "dot"
    queries, documents = encoder.encode_queries(["red fish"]), encoder.encode_documents(TEXTS)
    products = SIMILARITIES["dot"](queries, documents)[0]  # type: ignore[arg-type]
    assert np.argsort(-products).tolist() == np.argsort(-scorer.score("red fish", TEXTS)).tolist()


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        (DseShape(layers=2, hidden=6, unit=True), True),
        (DseShape(layers=2, head="dot"), True),
        (DseShape(layers=2, hidden=6), False),
    ],
    ids=str,
)
def test_an_indexs_vectors_are_scored_where_the_head_needs_no_more(
    shape: DseShape, stored: bool, make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retr.index.collection import Collection
    from retr.retrieval.records import Document

    folder = saved(open_dse(make_bi(seed=1), shape), tmp_path / "out")
    made, scorer = Collection.create(tmp_path / "ix", encoder=load_encoder(folder)), load_scorer(folder)
    texts = [text for text in TEXTS[:4] if text]
    made.add([Document(text, text) for text in texts])
    expected = dict(zip(texts, scorer.score("red fish", texts), strict=True))
    read: list[str] = []
    fresh: Any = load_scorer(folder)
    monkeypatch.setattr(type(fresh), "read", lambda self, texts: read.extend(texts) or self.model.vectors(texts))
    found = made.search("red fish", 4, mode="dense", rerank=fresh)
    assert (read == []) == stored
    assert {hit.id: hit.score for hit in found} == pytest.approx(expected, abs=2e-3)


def test_a_unit_heads_scores_do_not_depend_on_how_long_vectors_are(make_bi: Any) -> None:
    student = open_dse(make_bi(seed=1), DseShape(layers=2, hidden=6, unit=True))
    student.module.eval()
    with torch.no_grad():
        vectors = student.encode(TEXTS)
        assert torch.linalg.norm(vectors, dim=1).tolist() == pytest.approx([1.0] * len(TEXTS), abs=1e-5)
        length = torch.linalg.norm(student._pooled(list(built_in().texts[:16])), dim=1).mean()
        assert abs(float(length) - 1) > 0.1
        left, right = vectors[:1] * length, vectors[2:3] * length
        torch.testing.assert_close(student.logits([(TEXTS[0], TEXTS[2])]), student.module.head(left, right))


def test_a_text_scored_before_is_not_read_again(make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer: Any = load_scorer(saved(open_dse(make_bi(seed=1), DseShape(layers=2, hidden=6)), tmp_path / "out"))
    first = scorer.score("red fish", TEXTS)
    monkeypatch.setattr(type(scorer.model), "vectors", lambda model, texts: 1 / 0)
    np.testing.assert_array_equal(scorer.score("red fish", TEXTS[::-1]), first[::-1])
    vectors = scorer.read(["red fish", *TEXTS])
    np.testing.assert_array_equal(scorer.score_vectors(vectors[0], vectors[1:]), first)


def test_saved_and_opened_it_goes_on_from_there(make_bi: Any, tmp_path: Path) -> None:
    student = open_dse(make_bi(seed=1), DseShape(layers=2, hidden=6, embedding=9))
    again = open_dse(Path(saved(student, tmp_path / "out")))
    assert again.shape == student.shape
    for one, other in zip(student.module.parameters(), again.module.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_dropout_is_of_training_alone(make_bi: Any) -> None:
    student = open_dse(make_bi(seed=1), DseShape(layers=2, hidden=6), dropout=0.5)
    student.backbone.model.eval()
    torch.manual_seed(0)
    assert float((student.encode(TEXTS[:1]) == 0).float().mean()) == pytest.approx(0.5, abs=0.2)
    student.module.eval()
    torch.testing.assert_close(student.encode(TEXTS), student.encode(TEXTS))


def test_what_does_not_fit_is_said(make_bi: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="layers is 4, and the encoder has 2"):
        open_dse(make_bi(seed=1))
    many = open_dse(make_bi(seed=1), DseShape(layers=2, hidden=6, outputs=3))
    with pytest.raises(BadInput, match="3 numbers a pair"):
        many.score(["a"], [["b"]])
    folder = saved(many, tmp_path / "out")
    with pytest.raises(BadInput, match="3 numbers a pair"):
        load_scorer(f"dse={folder}")
    with pytest.raises(Damaged, match="another shape"):
        open_dse(Path(folder), DseShape(layers=1))
    (tmp_path / "out" / "dse.safetensors").unlink()
    with pytest.raises(NotFound, match=r"dse\.safetensors is missing"):
        load_model(folder)
    with pytest.raises(NotFound, match="No folder"):
        load_model("nowhere")


@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
def test_texts_end_to_end_have_the_vectors_of_padded_ones(family: str, shape: DseShape, make_bi: Any) -> None:
    packed = open_dse(make_bi(family, seed=1), shape)
    padded = open_dse(make_bi(family, seed=1), shape, BackboneSettings(attention="eager"))
    assert padded.backbone.packed is None
    assert (packed.backbone.packed is None) == (family == "mpnet")
    for student in (packed, padded):
        student.module.eval()
    torch.testing.assert_close(packed.encode(TEXTS), padded.encode(TEXTS), atol=1e-5, rtol=1e-4)
    packed.encode(TEXTS).sum().backward()
    padded.encode(TEXTS).sum().backward()
    ours, theirs = (
        {name: part.grad for name, part in student.backbone.model.named_parameters() if part.grad is not None}
        for student in (packed, padded)
    )
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-3, rtol=1e-3, msg=name)

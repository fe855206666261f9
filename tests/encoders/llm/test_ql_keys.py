"""The one-token index: keys of a document's end token give the score of the whole, and nobody reads it twice."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from tests.encoders.llm.conftest import FAMILIES, ONE_ATTENTION, WINDOW  # noqa: E402

from retr.cli import make_app  # noqa: E402
from retr.encoders import load_scorer  # noqa: E402
from retr.encoders.bulk import open_vectors  # noqa: E402
from retr.encoders.llm import ql_keys  # noqa: E402
from retr.encoders.llm.ql_keys import keep_keys, open_keys  # noqa: E402
from retr.encoders.trainable.llm.decoder import Decoder  # noqa: E402
from retr.encoders.trainable.llm.one_token import OneToken, Packing  # noqa: E402
from retr.retrieval.errors import BadInput, Mismatch, NotFound  # noqa: E402

EACH = [(name, attention) for name in FAMILIES for attention in ONE_ATTENTION.get(name, ("eager", "sdpa"))]
EACH.remove(("gpt_neo", "sdpa"))  # transformers has none
DOCUMENTS = [[5, 6, 7, 8, 2], [20, 21, 22, 23, 30, 31, 32, 33, 34, 2], [2]]
QUERY = "red fish in water"
TEXTS = ["the red fish swims", "", "a stone", "from the sky falls a fish in cold water", "stone " * 80]


@pytest.mark.parametrize(("family", "attention"), EACH, ids=["-".join(pair) for pair in EACH])
@torch.no_grad()  # type: ignore[untyped-decorator]
def test_the_end_tokens_keys_give_the_score_of_the_whole(build: Any, family: str, attention: str) -> None:
    window = WINDOW["sliding_window"] if "sliding_window" in FAMILIES[family][1] else 0
    decoder = Decoder(build(family, attention, lm=True), Path(), 64, window, True)
    token = OneToken.of(decoder)
    kept = token.read(DOCUMENTS)
    assert kept.shape == (3, token.packing.dim)
    for target in ([9, 10, 11, 12, 13, 14], [9]):  # longer than windows, and all of it told by the last state
        whole = decoder.log_probs(DOCUMENTS, [target] * 3, stop=True)[0]
        np.testing.assert_allclose(token.log_probs(kept, target), whole, rtol=1e-5)
    if family == "llama":
        assert token.packing == Packing(16, (((1, 8), (1, 8)),) * 2)
        assert token.packing.dim == 2 + 16 + 2 * (8 + 8)
        other = token.log_probs(kept.roll(1, 0), [9, 10, 11])
        assert not np.allclose(other, token.log_probs(kept, [9, 10, 11]), rtol=1e-2)


def test_positions_stay_whole_in_short_numbers() -> None:
    packing = Packing(1, (((1, 1), (1, 1)),))
    places, ones = torch.tensor([0, 1023, 1024, 40_961]), torch.ones(4, 1, 1, 1)
    rows = packing.pack(places, torch.ones(4, 1), [(ones, ones)])
    assert packing.unpack(rows.half().float(), torch.float32)[0].tolist() == places.tolist()


@pytest.fixture(scope="module")
def model(make_decoder: Any) -> Path:
    """A decoder that says that it was trained with a stop."""
    return told(make_decoder("llama", lm=True))


def told(folder: Path, **table: Any) -> Path:
    (folder / "retr.json").write_text(json.dumps({"ql": {"prompt": "a : {document}", "stop": True, **table}}))
    return folder


@pytest.mark.parametrize("normalise", [False, True])
def test_kept_texts_and_others_score_as_the_model_scores_them(model: Path, tmp_path: Path, normalise: bool) -> None:
    folder = told(Path(shutil.copytree(model, tmp_path / "model")), normalise=normalise)
    done = keep_keys(str(folder), [*TEXTS[:3], TEXTS[4], TEXTS[0]], tmp_path / "keys", dtype="float32")
    assert (done.texts, done.encoded) == (4, 4)
    scorer, expected = load_scorer(f"ql={tmp_path / 'keys'}"), load_scorer(f"ql={folder}").score(QUERY, TEXTS)
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), expected, rtol=1e-5)
    assert scorer.comparable and scorer.describe()["stored"] == 4  # type: ignore[attr-defined]
    np.testing.assert_array_equal(scorer.score("", TEXTS), np.zeros(5))


def test_a_kept_text_is_not_read_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_keys(str(model), TEXTS[:2], tmp_path / "keys")
    scorer, read = load_scorer(f"ql={tmp_path / 'keys'}"), []
    before = ql_keys.KeyReader.encode_documents
    monkeypatch.setattr(
        ql_keys.KeyReader, "encode_documents", lambda self, texts: read.extend(texts) or before(self, texts)
    )
    alone = scorer.score(QUERY, TEXTS[2:3])
    both = scorer.score(QUERY, [TEXTS[1], TEXTS[2], TEXTS[0]])
    assert read == [TEXTS[2]] * 2
    np.testing.assert_allclose(both[1], alone[0], rtol=1e-6)
    rounded = load_scorer(f"ql={model}").score(QUERY, TEXTS[:1])
    assert both[2] != rounded[0] and both[2] == pytest.approx(rounded[0], rel=1e-2)


def test_given_again_it_reads_what_is_new(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ql_keys, "SHARD_TEXTS", 8)
    many = [f"stone {number}" for number in range(70)]  # a shard ends at 32 texts at the latest
    keep_keys(str(model), many, tmp_path / "keys")
    again = keep_keys(str(model), [*many, "a red fish"], tmp_path / "keys")
    assert (again.texts, again.reused >= 64, again.encoded <= 7) == (71, True, True)
    with pytest.raises(Mismatch, match="dtype float16"):
        keep_keys(str(model), many, tmp_path / "keys", dtype="float32")


def test_keys_of_another_model_are_refused(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    keep_keys(str(folder), TEXTS, tmp_path / "keys")
    told(folder, prompt="b : {document}")
    with pytest.raises(Mismatch, match="as it was"):
        load_scorer(f"ql={tmp_path / 'keys'}")
    told(folder, stop=False)
    with pytest.raises(BadInput, match="lets a query see all"):
        open_keys(str(folder))
    shutil.rmtree(folder)
    with pytest.raises(NotFound, match="not where it was"):
        load_scorer(f"ql={tmp_path / 'keys'}")


def test_a_model_whose_keys_do_not_give_its_scores_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OneToken, "_mask", lambda self, count: torch.full((1, 1, count, 1 + count), -1e9))
    with pytest.raises(BadInput, match="cannot be stored"):
        open_keys(str(model))


def retr(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(make_app(), [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_keeps_an_indexs_passages(model: Path, tmp_path: Path) -> None:
    rows = [{"id": str(at), "title": "red fish", "text": text} for at, text in enumerate(TEXTS[:4])]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    index, keys = tmp_path / "index", tmp_path / "keys"
    retr("index", tmp_path / "rows.jsonl", "-i", index, "--encoder", "none", "-q")
    made = json.loads(retr("keys", f"ql={model}", "-i", index, "--out", keys, "--dtype", "float32", "-q", "--json"))
    assert (made["texts"], made["bytes"]) == (4, 4 * 4 * open_vectors(keys).dim)
    assert "reused" not in retr("keys", model, "-i", index, "--out", keys, "--dtype", "float32", "-q")
    asked = ("search", "fish", "-i", index, "--mode", "lexical", "--json", "--rerank")
    stored, read = (json.loads(retr(*asked, f"ql={source}"))["hits"] for source in (keys, model))
    assert [hit["id"] for hit in stored] == [hit["id"] for hit in read] and len(stored) == 4
    np.testing.assert_allclose([hit["score"] for hit in stored], [hit["score"] for hit in read], rtol=1e-5)
    passages = [f"{row['title']} {row['text']}".strip() for row in rows]
    assert (load_scorer(f"ql={keys}").score("fish", passages) < 0).all()


def test_the_command_says_what_is_missing(model: Path, tmp_path: Path) -> None:
    assert "--out FOLDER" in retr("keys", model, code=1)
    assert "for the kind ql alone" in retr("keys", "cross=x", "--out", tmp_path / "keys", code=1)

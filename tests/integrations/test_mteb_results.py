"""What MTEB takes our models for and what it writes of them, and the guide's examples; skipped by name without mteb."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import retr
from retr.integrations.mteb import MtebCollection, MtebEncoder, MtebReranker

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # Both are read when the packages are imported.
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
mteb = pytest.importorskip("mteb", reason="needs the package 'mteb'")
mocks = pytest.importorskip("mteb.mocks.mock_tasks", reason="needs the offline tasks of mteb 2.26")


def test_mteb_takes_ours_for_the_protocols_they_are(users: Any) -> None:
    from mteb.models import CrossEncoderProtocol, EncoderProtocol, SearchProtocol

    encoder, scorer = MtebEncoder(users.LetterPairs()), MtebReranker(users.SharedLetters())
    collection = MtebCollection(users.LetterPairs())
    taken = [EncoderProtocol, CrossEncoderProtocol, SearchProtocol]
    kinds = [[isinstance(model, one) for one in taken] for model in (encoder, scorer, collection)]
    assert kinds == [[True, False, False], [False, True, False], [False, False, True]]


def test_what_mteb_writes_of_a_model_can_be_read_again(make_bi: Any, users: Any) -> None:
    encoder = retr.load_encoder(str(make_bi()))
    meta = MtebEncoder(encoder, name="organisation/mine").mteb_model_meta
    assert (meta.name, meta.embed_dim, meta.max_tokens) == ("retr/organisation__mine", 32, 24)
    assert (meta.similarity_fn_name.value, meta.model_type) == ("cosine", ["dense"])
    reranked = MtebCollection(encoder, rerank=users.SharedLetters()).mteb_model_meta
    assert reranked.model_type == ["hybrid"]
    assert reranked.name.startswith("retr/hybrid-") and reranked.name.endswith("-SharedLetters")
    late = MtebEncoder(users.WordsOfLetters()).mteb_model_meta
    for one in (meta, reranked, late, MtebReranker(users.SharedLetters()).mteb_model_meta):
        kept = type(one).model_validate({**json.loads(one.model_dump_json()), "loader": None})
        assert (kept.name, kept.revision, kept.model_type) == (one.name, one.revision, one.model_type)
    assert len({one.revision for one in (meta, reranked, late)}) == 3


def test_results_are_kept_by_revision(users: Any, tmp_path: Path) -> None:
    class Other(users.LetterPairs):  # type: ignore[misc]
        fingerprint = "letter-pairs-2"

    cache = mteb.ResultCache(tmp_path / "results")
    for encoder in (users.LetterPairs(), Other(), users.LetterPairs()):
        mteb.evaluate(MtebEncoder(encoder, "mine"), mocks.MockRetrievalTask(), cache=cache, show_progress_bar=False)
    kept = [path.parent for path in (tmp_path / "results").rglob("MockRetrievalTask.json")]
    assert len(kept) == 2


def test_the_guides_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "mteb.md").read_text(encoding="utf-8")
    examples = page.split("```py\n")[1:]
    assert len(examples) == 2
    for example in examples:
        exec(compile(example.partition("```")[0], "docs/mteb.md", "exec"), {})

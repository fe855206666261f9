"""Query likelihood: a score is the log-probability of the query's tokens, and what a stop hides stays hidden."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

from retr.encoders import load_scorer  # noqa: E402
from retr.encoders.llm.folder import read_llm  # noqa: E402
from retr.encoders.llm.ql_settings import PROMPT, QlTable  # noqa: E402
from retr.encoders.on_torch.compute import Compute  # noqa: E402
from retr.encoders.trainable.llm.ql import QueryLikelihood, open_ql  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

SHORT = "a : {document} in water "
QUERY = "red fish in water"
TEXTS = ["the red fish swims", "", "a stone", "from the sky falls a fish in cold water"]


@pytest.fixture(scope="module")
def llama(make_decoder: Any) -> Path:
    return make_decoder("llama", lm=True)


def told(folder: Path, path: Path, **table: Any) -> Path:
    """A copy of a folder whose retr.json has that table."""
    shutil.copytree(folder, path)
    (path / "retr.json").write_text(json.dumps({"ql": table}))
    return path


def asked(folder: Path, **table: Any) -> QueryLikelihood:
    return open_ql(read_llm(folder), QlTable(**table), Compute.asked("cpu").place())[0]


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_neox"])
def test_a_score_is_the_sum_over_the_query_of_a_plain_loop(make_decoder: Any, tmp_path: Path, family: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = told(make_decoder(family, lm=True), tmp_path / "told", prompt=SHORT)
    scorer = load_scorer(f"ql={folder}")
    tokenizer = scorer_tokenizer(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    query = tokenizer.encode(QUERY, add_special_tokens=False).ids
    for text, score in zip(TEXTS, scorer.score(QUERY, TEXTS), strict=True):
        row = tokenizer.encode(SHORT.replace("{document}", text), add_special_tokens=False).ids + query
        with torch.no_grad():
            known = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        first = len(row) - len(query)
        expected = sum(float(known[place - 1, row[place]]) for place in range(first, len(row)))
        assert score == pytest.approx(expected, rel=1e-4)
    assert scorer.comparable


def scorer_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_normalised_it_is_the_mean(llama: Path, tmp_path: Path) -> None:
    mean = load_scorer(f"ql={told(llama, tmp_path / 'mean', kind='ql', normalise=True)}")
    sums = load_scorer(f"ql={llama}")
    assert sums.describe()["ql"]["prompt"] == PROMPT
    count = len(scorer_tokenizer(llama).encode(QUERY, add_special_tokens=False).ids)
    np.testing.assert_allclose(mean.score(QUERY, TEXTS), sums.score(QUERY, TEXTS) / count, rtol=1e-5)
    assert mean.fingerprint != sums.fingerprint
    np.testing.assert_array_equal(mean.score("", TEXTS), np.zeros(4))


def test_a_long_document_leaves_room_for_what_stands_around_it(llama: Path) -> None:
    texts = asked(llama, prompt="a : {document} in water", stop=True, max_tokens=24).texts
    queries = texts.queries(["fish " * 30, "red"], ended=True)
    assert [len(query) for query in queries] == [6, 2]
    long, short = texts.documents(["stone " * 50, "stone"], queries)
    assert (len(long), long[:2], long[-3:]) == (18, short[:2], short[-3:])
    assert long[-1] == queries[0][-1] == 2


def test_a_decoder_without_logits_is_refused(make_decoder: Any) -> None:
    with pytest.raises(BadInput, match="no layer of logits"):
        load_scorer(f"ql={make_decoder('llama')}")


@pytest.mark.parametrize(
    ("table", "message"),
    [({"prompt": "Passage:"}, "must hold {document} once"), ({"max_tokens": 3}, "max_tokens is 3")],
)
def test_a_wrong_table_is_refused(llama: Path, tmp_path: Path, table: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_scorer(f"ql={told(llama, tmp_path / 'wrong', **table)}")

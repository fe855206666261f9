"""The page's files and the thumbs behind it; the page itself is driven in a browser by test_browser.py."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from retr.cli.serving.judging import Judgements, query_id
from retr.cli.serving.page import FILES, FOLDER
from retr.retrieval.corpus.queries import read_queries
from retr.retrieval.errors import BadInput
from retr.retrieval.runs import Qrels


def test_every_file_is_served_with_a_strict_policy(client: Any) -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)
    for name, kind in FILES.items():
        answer = client.get("/" if name == "index.html" else f"/page/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["page.py", "../page.py", "%2e%2e/app.py", "..%2fapp.py", "nothing"])
def test_nothing_else_is_served(client: Any, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_reads_nothing_as_html_and_loads_nothing_from_elsewhere() -> None:
    text = "".join((FOLDER / name).read_text(encoding="utf-8") for name in FILES)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|javascript:|\son\w+=\"", text)
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert " style=" not in text


def test_the_page_is_told_what_it_may_offer(client: Any, make_client: Any, index: Path) -> None:
    told = client.get("/v1/index").json()
    assert (told["documents"], told["modes"], told["writable"]) == (3, ["hybrid", "dense", "lexical"], True)
    assert told["reranker"] and not told["images"]
    told = make_client(index=index).get("/v1/index").json()
    assert (told["writable"], told["reranker"]) == (False, None)


def test_thumbs_become_qrels_that_eval_reads(client: Any, index: Path) -> None:
    for query, id, grade in (("cold  water", "fish", 1), ("cold water", "stone", 0), ("sky", "stone", 1)):
        assert client.post("/v1/judgements", json={"query": query, "id": id, "grade": grade}).status_code == 200
    assert client.get("/v1/judgements", params={"query": "cold water "}).json()["grades"] == {"fish": 1, "stone": 0}
    water, sky = query_id("cold water"), query_id("sky")
    assert Qrels.load(index.parent / "index.qrels.tsv").grades == {water: {"fish": 1, "stone": 0}, sky: {"stone": 1}}
    queries = {query.id: query.text for query in read_queries(index.parent / "index.queries.jsonl")}
    assert queries == {water: "cold water", sky: "sky"}
    assert client.post("/v1/judgements", json={"query": "sky", "id": "stone", "grade": None}).json()["grades"] == {}
    assert [query.id for query in read_queries(index.parent / "index.queries.jsonl")] == [water]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": "a", "id": "none", "grade": 1}, 404),
        ({"query": " ", "id": "fish", "grade": 1}, 400),
        ({"query": "a", "id": "fish"}, 400),
        ({"query": "a", "id": "fish", "grade": 11}, 400),
        ({"query": "a", "id": "fish", "grade": True}, 400),
    ],
)
def test_judgements_that_make_no_sense_are_refused(client: Any, body: Any, status: int) -> None:
    assert client.post("/v1/judgements", json=body).status_code == status


def test_who_may_not_write_may_not_judge(make_client: Any, index: Path, tmp_path: Path) -> None:
    client = make_client(index=index, judgements=tmp_path / "my.tsv")
    assert client.post("/v1/judgements", json={"query": "a", "id": "fish", "grade": 1}).status_code == 403
    assert not (tmp_path / "my.tsv").exists()


def test_judgements_at_a_time_are_all_kept(tmp_path: Path) -> None:
    kept = Judgements(tmp_path / "my.tsv")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: kept.put(f"query {number % 5}", f"d {number}", number % 3), range(40)))
    assert sum(len(kept.of(f"query {number}")) for number in range(5)) == 40
    assert kept.queries == tmp_path / "my.queries.jsonl"
    assert len([json.loads(line) for line in kept.queries.read_text().splitlines()]) == 5


def test_an_id_that_a_line_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="tab or line break"):
        Judgements(tmp_path / "my.tsv").put("a", "b\tc", 1)

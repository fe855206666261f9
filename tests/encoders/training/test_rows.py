"""Rows: read from both formats alike, without doubles, in an order that the seed and the epoch decide."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from retr.encoders.training.batches import Batch
from retr.encoders.training.rows import Rows, RowsSettings
from retr.retrieval.errors import BadInput, NotFound, RetrError

FULL = [
    {"q": f"query {n}", "p": f"text {n}", "n": [f"no {n}", f"not {n}"], "m": f"never {n}", "s": [3, 1.5, 0, n],
     "y": n / 10, "qi": n, "pi": f"p{n}", "ni": [f"a{n}", f"b{n}", f"c{n}"]}
    for n in range(7)
]  # fmt: skip
NAMES: dict[str, Any] = {
    "query": "q", "positive": "p", "negatives": ("n", "m"), "scores": "s", "label": "y", "query_id": "qi",
    "positive_id": "pi", "negative_ids": "ni",
}  # fmt: skip


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def every(rows: Rows, size: int = 3, **more: Any) -> list[Batch]:
    return list(rows.batches(size, **{"seed": 1, **more}))


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_every_column_arrives(tmp_path: Path, ending: str) -> None:
    rows = Rows(RowsSettings(write(tmp_path / f"a.{ending}", FULL[3:4]), **NAMES), tmp_path / "work")
    (batch,) = every(rows)
    assert batch == Batch(
        queries=("query 3",),
        positives=("text 3",),
        negatives=(("no 3", "not 3", "never 3"),),
        labels=(0.3,),
        scores=((3.0, 1.5, 0.0, 3.0),),
        query_ids=("3",),
        ids=(("p3", "a3", "b3", "c3"),),
    )


def test_both_formats_and_any_order_of_the_file_give_the_same_batches(tmp_path: Path) -> None:
    one = Rows(RowsSettings(write(tmp_path / "a.jsonl", FULL), **NAMES), tmp_path / "one")
    other = Rows(RowsSettings(write(tmp_path / "a.parquet", FULL[::-1]), **NAMES), tmp_path / "other")
    assert every(one) == every(other)


def test_several_files_are_one_set_and_doubles_are_left_out(tmp_path: Path) -> None:
    files = (write(tmp_path / "a.jsonl", FULL[:4]), write(tmp_path / "b.parquet", FULL[2:]))
    rows = Rows(RowsSettings(files, query="q", positive="p"), tmp_path / "work")
    assert (rows.read, rows.count, rows.doubles) == (9, 7, 2)
    assert set(rows.hashes) == {"a.jsonl", "b.parquet"}


def test_an_epoch_has_every_row_once_and_another_order_than_the_next(tmp_path: Path) -> None:
    rows = Rows(RowsSettings(write(tmp_path / "a.jsonl", FULL), query="q", positive="p"), tmp_path / "work")
    orders = [[batch.queries[0] for batch in every(rows, 1, epoch=epoch)] for epoch in (0, 1, 0)]
    assert sorted(orders[0]) == sorted(row["q"] for row in FULL)
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != [batch.queries[0] for batch in every(rows, 1, seed=2)]


def test_skipped_batches_are_those_that_came_first(tmp_path: Path) -> None:
    rows = Rows(RowsSettings(write(tmp_path / "a.jsonl", FULL), query="q", positive="p"), tmp_path / "work")
    assert every(rows, 2, skip=1) == every(rows, 2)[1:]
    assert len(every(rows, 2)) == 3 == rows.steps(2)


def test_a_batch_larger_than_the_data_has_all_of_it(tmp_path: Path) -> None:
    rows = Rows(RowsSettings(write(tmp_path / "a.jsonl", FULL), query="q", positive="p"), tmp_path / "work")
    (batch,) = every(rows, 100)
    assert len(batch) == 7


def test_two_processes_share_a_step_of_twice_the_rows(tmp_path: Path) -> None:
    rows = Rows(RowsSettings(write(tmp_path / "a.jsonl", FULL), query="q", positive="p"), tmp_path / "work")
    whole = every(rows, 4)
    halves = [every(rows, 2, share=(this, 2)) for this in (0, 1)]
    assert halves[0][0].queries + halves[1][0].queries == whole[0].queries
    with pytest.raises(BadInput, match="need 8 rows; there are 7"):
        rows.steps(4, 2)


def test_a_missing_list_is_an_empty_one(tmp_path: Path) -> None:
    rows = [{"query": "a", "positive": "b"}, {"query": "c", "positive": "d", "n": None}]
    path = write(tmp_path / "a.jsonl", [*rows, {"query": "e", "positive": "f", "n": "g"}])
    (batch,) = every(Rows(RowsSettings(path, negatives="n"), tmp_path / "work"))
    assert sorted(batch.negatives) == [(), (), ("g",)]


def test_texts_alone_are_their_own_positives(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "a"}])
    (batch,) = every(Rows(RowsSettings(path, query="text", positive="text"), tmp_path / "work"))
    assert (batch.queries, batch.positives) == (("a",), ("a",))


def test_a_column_may_be_called_anything(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{'it\'s "q"': "a", "p; DROP TABLE rows": "b"}])
    (batch,) = every(Rows(RowsSettings(path, query='it\'s "q"', positive="p; DROP TABLE rows"), tmp_path / "work"))
    assert batch.positives == ("b",)


@pytest.mark.parametrize(
    ("name", "text", "columns", "words"),
    [
        ("a.jsonl", '{"query": "a"}\n', {}, "1 of its rows lack a text in 'query' and 'positive'"),
        ("a.jsonl", "", {}, "There is no row"),
        ("a.jsonl", "{nonsense\n", {}, "cannot be read"),
        ("a.jsonl", '{"query": "a", "positive": "b", "y": "much"}\n', {"label": "y"}, "cannot be read"),
        ("a.parquet", "nonsense", {}, "cannot be read"),
        ("a.txt", "x", {}, "neither .jsonl nor .parquet"),
        ("", "", {}, "There is no file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, text: str, columns: dict[str, str], words: str
) -> None:
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises((BadInput, NotFound), match=words) as failure:
        Rows(RowsSettings(str(tmp_path / (name or "none.jsonl")), **columns), tmp_path / "work")  # type: ignore[arg-type]
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("name", ["negatives", "label", "scores", "query_id", "instruction", "group"])
def test_a_column_that_no_row_has_is_told(tmp_path: Path, name: str) -> None:
    made = RowsSettings(write(tmp_path / "a.jsonl", [{"query": "a", "positive": "b"}]), **{name: "typo"})
    with pytest.raises(BadInput, match="no row has anything in 'typo'"):
        Rows(made, tmp_path / "r")


def test_a_column_that_some_rows_have_is_read(tmp_path: Path) -> None:
    rows = [{"query": "a", "positive": "b"}, {"query": "c", "positive": "d", "n": ["e"]}]
    files = tuple(write(tmp_path / f"{n}.jsonl", [row]) for n, row in enumerate(rows))
    found = every(Rows(RowsSettings(files, negatives="n"), tmp_path / "r"))[0]
    assert sorted(found.negatives) == [(), ("e",)]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"positive": ["b", "c"]}, "'positive' holds a list or an object"),
        ({"query": {"text": "a"}}, "'query' holds a list or an object"),
        ({"n": [{"text": "e"}]}, "'n' holds something else than texts"),
        ({"n": [["e"]]}, "'n' holds something else than texts"),
        ({"n": {"text": "e"}}, "'n' holds something else than texts"),
        ({"query": " "}, "1 of its rows lack a text"),
        ({"positive": None}, "1 of its rows lack a text"),
        ({"y": None}, "1 of its rows have no number in 'y'"),
        ({"y": float("inf")}, "1 of its rows have no number in 'y'"),
        ({"s": [1.0]}, "1 of its rows have not as many numbers in 's' as texts"),
        ({"s": [1.0, float("nan")]}, "1 of its rows have a score in 's' that is no number"),
    ],
)
def test_what_cannot_be_learnt_is_told(tmp_path: Path, ending: str, row: dict[str, Any], says: str) -> None:
    whole = {"query": "a", "positive": "b", "n": ["c"], "y": 1.0, "s": [1.0, 0.0]}
    path = write(tmp_path / f"a.{ending}", [{**whole, **row}, *([whole] if "y" in row else [])])
    with pytest.raises(BadInput, match=says):
        Rows(RowsSettings(path, negatives="n", label="y", scores="s"), tmp_path / "r")


def test_a_parquet_file_without_the_column_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [{"query": "a"}])
    with pytest.raises(RetrError, match="positive"):
        Rows(RowsSettings(path), tmp_path / "work")


def test_ids_of_half_of_the_texts_are_refused() -> None:
    with pytest.raises(BadInput, match="belong together"):
        RowsSettings("a.jsonl", negatives="n", positive_id="pi")


def test_a_batch_refuses_rows_that_do_not_fit() -> None:
    with pytest.raises(BadInput, match="2 queries and 1 positives"):
        Batch(queries=("a", "b"), positives=("A",))
    with pytest.raises(BadInput, match="scores need one value"):
        Batch(queries=("a",), positives=("A",), negatives=(("n",),), scores=((1.0,),))

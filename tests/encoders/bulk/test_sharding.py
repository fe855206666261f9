"""Where shards end, and what stays as it was when the texts around it change."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retr.encoders.bulk.settings import BulkSettings
from retr.encoders.bulk.sharding import Record, Shard, cut_shards
from retr.retrieval.errors import BadInput, NotFound

IDENTITY: dict[str, str | int] = {"fingerprint": "f", "side": "documents", "dtype": "float32", "dim": 2}
SETTINGS = BulkSettings(shard_texts=8)


def records(texts: list[str]) -> list[Record]:
    return [Record(str(number), text) for number, text in enumerate(texts)]


def shards(texts: list[str], settings: BulkSettings = SETTINGS, **identity: str | int) -> list[Shard]:
    return list(cut_shards(records(texts), {**IDENTITY, **identity}, settings))


@given(st.lists(st.text(max_size=5)), st.integers(1, 9))
def test_no_record_is_lost_and_sizes_stay_in_bounds(texts: list[str], usual: int) -> None:
    settings = BulkSettings(shard_texts=usual)
    found = shards(texts, settings)
    assert [record for shard in found for record in shard.records] == records(texts)
    assert all(settings.smallest <= len(shard) <= settings.largest for shard in found[:-1])
    assert all(len(shard) >= 1 for shard in found)


def test_shards_have_about_the_usual_number_of_texts() -> None:
    found = shards([f"text {number}" for number in range(20_000)], BulkSettings(shard_texts=100))
    assert 80 < 20_000 / len(found) < 125


@pytest.mark.parametrize("at", [0, 500, 999])
@pytest.mark.parametrize("change", ["insert", "remove", "edit"])
def test_a_change_touches_few_shards(at: int, change: str) -> None:
    texts = [f"text {number}" for number in range(1000)]
    before = {shard.key for shard in shards(texts)}
    texts[at : at + (change != "insert")] = [] if change == "remove" else ["another text"]
    after = shards(texts)
    assert len(after) > 80
    assert len([shard for shard in after if shard.key not in before]) <= 4


def test_growing_at_the_end_leaves_all_shards_but_the_last() -> None:
    texts = [f"text {number}" for number in range(500)]
    before = shards(texts)
    after = shards([*texts, *(f"more {number}" for number in range(500))])
    assert [shard.key for shard in before[:-1]] == [shard.key for shard in after[: len(before) - 1]]


def test_a_shard_ends_when_it_is_full_of_characters() -> None:
    found = shards(["x" * 60] * 5, replace(SETTINGS, shard_characters=100))
    assert [len(shard) for shard in found] == [2, 2, 1]


def test_equal_texts_are_bounded_by_their_number() -> None:
    assert max(len(shard) for shard in shards(["same"] * 200)) <= SETTINGS.largest


def test_the_key_tells_texts_order_and_encoding_apart_and_ids_not() -> None:
    texts = ["a", "b"]
    [key] = [shard.key for shard in shards(texts)]
    others = [shards(["b", "a"]), shards(["ab", ""]), shards(["a"]), shards(texts, fingerprint="g")]
    others += [shards(texts, side="queries"), shards(texts, dtype="float16"), shards(texts, dim=1)]
    keys = [found[0].key for found in others]
    assert len({key, *keys}) == len(keys) + 1
    [renamed] = cut_shards([Record("x", "a"), Record("y", "b")], IDENTITY, SETTINGS)
    assert renamed.key == key


def test_settings_are_checked() -> None:
    with pytest.raises(NotFound, match="Did you mean 'float32'"):
        BulkSettings(dtype="float23")  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="No side named 'query'"):
        BulkSettings(side="query")  # type: ignore[arg-type]
    for name in ("shard_texts", "shard_characters", "dim"):
        with pytest.raises(BadInput, match=f"{name} is 0"):
            BulkSettings(**{name: 0})

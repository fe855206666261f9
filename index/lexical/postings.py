"""BM25 by tantivy, over all passages of a collection: statistics are global.

A generation's files lie in a folder of their own. Tantivy never changes a data file, so the next generation starts
from hard links to them; readers of the old one are not disturbed, and rolling back needs no rebuilding.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tantivy
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.index.lexical.languages import STOPWORDS, check_language
from retr.retrieval.errors import Damaged

ANALYZER = "retr"
_REPLACED = {"meta.json", ".managed.json"}
_LOCKS = {".tantivy-writer.lock", ".tantivy-meta.lock"}
_HEAP_BYTES = 64 << 20
_FEW_ROWS = 4096

# Scripts without spaces between words are indexed a character at a time; everything else by words with their marks.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[\p{{L}}\p{{N}}\p{{M}}&&[^{_UNSPACED}]]+"


@lru_cache(maxsize=4)
def analyzer(language: str) -> Any:
    """Text to terms: words, lower case, accents folded, stop words dropped, stemmed."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(_WORD))
    builder = builder.filter(tantivy.Filter.remove_long(100)).filter(tantivy.Filter.lowercase())
    if language in STOPWORDS:
        builder = builder.filter(tantivy.Filter.stopword(language))
    builder = builder.filter(tantivy.Filter.ascii_fold())
    if language != "none":
        builder = builder.filter(tantivy.Filter.stemmer(check_language(language)))
    return builder.build()


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)  # The passage's key, which format 1 called its row.
    builder.add_text_field("body", tokenizer_name=ANALYZER)
    return builder.build()


class RowKeys(Protocol):
    """What turns rows into the keys that the postings hold, and back."""

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The keys of rows."""
        ...

    def rows(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of keys."""
        ...


class SameKeys:
    """Every row is its own key."""

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows themselves."""
        return rows

    rows = of


class LexicalIndex:
    """One generation, opened for reading; `keys` says which rows its passages are."""

    def __init__(self, folder: Path, language: str, keys: RowKeys = SameKeys()) -> None:  # noqa: B008  # immutable
        self._keys = keys
        self._analyzer = analyzer(language)
        try:
            self._index = _opened(folder)
            self._index.register_tokenizer(ANALYZER, self._analyzer)
            self._searcher = self._index.searcher()
        except ValueError as error:
            message = str(error).splitlines()[0]
            raise Damaged(f"The lexical index {str(folder)!r} cannot be opened ({message}). Run: retr check") from None
        self._schema = self._index.schema

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def search(
        self, text: str, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """At most k rows and their BM25 scores (k1 1.2, b 0.75), best first, equal scores by row; only allowed rows."""
        query = self._query(text)
        if query is None or k <= 0 or (allowed is not None and not allowed.any()):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if allowed is not None and _are_few(allowed):
            query = _only(self._schema, query, self._keys.of(np.flatnonzero(allowed)))
            allowed = None
        return self._widen(query, k, allowed)

    def plan(self, allowed: NDArray[np.bool_] | None) -> str:
        """How `search` goes about a filter, and why."""
        if allowed is None:
            return "all postings"
        count = int(np.count_nonzero(allowed))
        if _are_few(allowed):
            return f"the postings of the {count} rows that match alone: at most {_FEW_ROWS} are named in the query"
        return f"all postings, widened until enough of the {count} rows that match are found: more than {_FEW_ROWS}"

    def _widen(
        self, query: Any, k: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        limit = k if allowed is None else 4 * k
        while True:
            hits = self._searcher.search(query, limit, count=False).hits
            keys = np.array(self._searcher.fast_field_values("row", [hit[1] for hit in hits]), np.int64)
            rows = self._keys.rows(keys)
            scores = np.array([hit[0] for hit in hits], np.float32)
            kept = np.arange(len(rows)) if allowed is None else np.flatnonzero(allowed[rows])
            if len(kept) >= k or len(hits) < limit:
                kept = kept[np.lexsort((rows[kept], -scores[kept]))][:k]
                return rows[kept], scores[kept]
            limit *= 8

    def _query(self, text: str) -> Any:
        terms = Counter(self._analyzer.analyze(text))
        clauses = []
        for term, count in terms.items():
            one = tantivy.Query.term_query(self._schema, "body", term, "freq")
            clauses.append((tantivy.Occur.Should, one if count == 1 else tantivy.Query.boost_query(one, float(count))))
        return tantivy.Query.boolean_query(clauses) if clauses else None

    def explain(self, text: str, row: int) -> list[dict[str, Any]]:
        """What each query term gave to the row's score."""
        parts = []
        key = self._keys.of(np.array([row], np.int64))
        for term, count in Counter(self._analyzer.analyze(text)).items():
            one = tantivy.Query.term_query(self._schema, "body", term, "freq")
            hits = self._searcher.search(_only(self._schema, one, key), 1, count=False).hits
            if hits:
                parts.append({"term": term, "score": round(hits[0][0] * count, 6), **self._statistics(one, hits[0][1])})
        return sorted(parts, key=lambda part: -part["score"])

    def _statistics(self, query: Any, address: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        todo = [json.loads(query.explain(self._searcher, address).to_json())]
        names = {"freq, occ": "frequency", "n, numb": "documents_with_term", "idf, co": "idf", "dl, len": "length"}
        while todo:
            node = todo.pop()
            for start, name in names.items():
                if node["description"].startswith(start):
                    found[name] = round(node["value"], 6)
            todo.extend(node.get("details") or [])
        return found


def _opened(folder: Path) -> Any:
    """The index for reading. It reads one generation and no other, so nothing has to watch the folder for changes."""
    if os.access(folder, os.W_OK):
        index = tantivy.Index.open(str(folder))
        index.config_reader(reload_policy="manual")
        return index
    # Tantivy locks what it opens, by a file: where nobody may write, a folder of links is locked in its place.
    with tempfile.TemporaryDirectory(prefix="retr-") as links:
        for path in folder.iterdir():
            if path.name not in _LOCKS:
                (Path(links) / path.name).symlink_to(path.resolve())
        index = tantivy.Index.open(links)
        index.config_reader(reload_policy="manual")
        return index


def _are_few(allowed: NDArray[np.bool_]) -> bool:
    return int(np.count_nonzero(allowed)) <= _FEW_ROWS


def _only(schema: Any, query: Any, keys: NDArray[np.int64]) -> Any:
    chosen = tantivy.Query.term_set_query(schema, "row", keys.tolist())
    return tantivy.Query.boolean_query(
        [(tantivy.Occur.Must, query), (tantivy.Occur.Must, tantivy.Query.const_score_query(chosen, 0.0))]
    )


def write_generation(
    disk: Disk,
    old: Path | None,
    new: Path,
    *,
    language: str,
    added: Iterable[tuple[int, str]],
    removed: Sequence[int],
) -> list[str]:
    """Make the folder `new` out of `old`: (key, text) added, passages removed by key. Gives its file names."""
    disk.make_folder(new)
    if old is not None:
        _take_over(disk, old, new)
    index = tantivy.Index(_schema(), str(new), reuse=False) if old is None else tantivy.Index.open(str(new))
    index.register_tokenizer(ANALYZER, analyzer(language))
    writer = index.writer(_HEAP_BYTES, 1)
    if removed:
        writer.delete_documents_by_query(tantivy.Query.term_set_query(index.schema, "row", list(removed)))
    for key, text in added:
        entry = tantivy.Document()
        entry.add_unsigned("row", key)
        entry.add_text("body", text)
        writer.add_document(entry)
    writer.commit()
    writer.wait_merging_threads()
    del writer, index
    for name in _LOCKS:
        disk.remove(new / name)
    names = sorted(path.name for path in new.iterdir() if path.name not in _LOCKS)
    for name in names:
        # A link to a file of the last generation names what is durable already; its name becomes so with the folder.
        if old is None or not (old / name).exists() or not (old / name).samefile(new / name):
            disk.sync_file(new / name)
    disk.sync_folder(new)
    return names


def _take_over(disk: Disk, old: Path, new: Path) -> None:
    for path in sorted(old.iterdir()):
        if path.name in _REPLACED:
            shutil.copyfile(path, new / path.name)
        elif path.name not in _LOCKS:
            disk.link(path, new / path.name)


def passages_in(folder: Path) -> tuple[int, int]:
    """How many passages a generation's postings hold, and how many of them are deleted but not yet merged away."""
    segments = json.loads((folder / "meta.json").read_bytes())["segments"]
    deleted = sum(segment["deletes"]["num_deleted_docs"] for segment in segments if segment.get("deletes"))
    return sum(segment["max_doc"] for segment in segments), deleted

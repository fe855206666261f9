"""Link prediction: a sentence of a document's first section asks for a passage of another one that links to it."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from retr.distill.pairs.links import candidates, names_of
from retr.distill.pairs.pages import Page, drawn, passages
from retr.distill.pairs.prose import Piece, as_query
from retr.distill.pairs.settings import PairSettings

_TABLES = """
CREATE TABLE pages (id TEXT PRIMARY KEY, lead TEXT) WITHOUT ROWID;
CREATE TABLE names (name TEXT, id TEXT, PRIMARY KEY (name, id)) WITHOUT ROWID;
CREATE TABLE passages (source TEXT, number INTEGER, text TEXT, targets TEXT, PRIMARY KEY (source, number));
"""
Linked = tuple[str, str, str, str]
"""Query, positive, the id of the page that is linked to, and of the page that links."""


def of_pages(pages: Iterable[Page], settings: PairSettings) -> Iterator[Linked]:
    """A row for each link between two documents (Chang et al. 2020, section 3), in the order of their ids.

    The graph is kept on disk: a link may come long before the page that it leads to. Links to nothing that was read,
    and a page's links to itself, are passed over; of links without a place in the text, any passage may be taken.
    """
    with TemporaryDirectory(prefix="retr-pairs-") as folder, closing(sqlite3.connect(Path(folder) / "links")) as store:
        store.execute("PRAGMA synchronous = OFF")
        store.executescript(_TABLES)
        for page in pages:
            _keep(store, page, settings)
        yield from _rows(store, settings)


def _keep(store: sqlite3.Connection, page: Page, settings: PairSettings) -> None:
    lead = [as_query(piece.text) for piece in page.lead(settings)]
    store.execute("INSERT OR REPLACE INTO pages VALUES (?, ?)", (page.id, json.dumps(lead)))
    names = [(name, page.id) for name in sorted(names_of(page.id, page.title, page.url))]
    store.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", names)
    if not page.links:
        return
    found = passages(page.pieces, settings.passage_words)
    targets: dict[int, list[str]] = {}
    random = drawn(settings, page.id)
    for place, target in page.links if found else ():
        at = random.randrange(len(found)) if place is None else _passage_at([one.pieces for one in found], place)
        targets.setdefault(at, []).append(target)
    rows = [(page.id, at, page.positive(found[at]), json.dumps(named)) for at, named in sorted(targets.items())]
    store.executemany("INSERT OR REPLACE INTO passages VALUES (?, ?, ?, ?)", rows)


def _passage_at(passages: list[tuple[Piece, ...]], place: int) -> int:
    """The last passage that begins at or before the place."""
    return max((at for at, pieces in enumerate(passages) if pieces[0].start <= place), default=0)


def _rows(store: sqlite3.Connection, settings: PairSettings) -> Iterator[Linked]:
    for source, number, text, named in store.execute("SELECT * FROM passages ORDER BY source, number"):
        plain = " ".join(text.split()).casefold()
        targets = {_target(store, name, source) for name in json.loads(named)} - {"", source}
        for target in sorted(targets):
            (lead,) = store.execute("SELECT lead FROM pages WHERE id = ?", (target,)).fetchone()
            asking = [sentence for sentence in json.loads(lead) if sentence.casefold() not in plain]
            random = drawn(settings, target, source, number)
            for sentence in random.sample(asking, min(settings.rows, len(asking))):
                yield sentence, text, target, source


def _target(store: sqlite3.Connection, name: str, source: str) -> str:
    """The page that is meant, of several the first by its id; empty for none."""
    for candidate in candidates(name, source):
        (found,) = store.execute("SELECT min(id) FROM names WHERE name = ?", (candidate,)).fetchone()
        if found is not None:
            return str(found)
    return ""

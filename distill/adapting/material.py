"""The first stage: documents as they are now, what is asked of them in training, and what is kept to ask in the end."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retr.distill.adapting.asking import asked_once
from retr.distill.adapting.questions import OWN, Questioner, held_out_question, place_of
from retr.distill.adapting.settings import FEWEST_HELD_OUT, AdaptSettings
from retr.distill.adapting.stages import Report, read_lines, write_lines
from retr.distill.pairs import Pair, PairSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document

DOCUMENTS, PAIRS, PSEUDO = "documents.jsonl", "pairs.jsonl", "pseudo.jsonl"
SHARE = 5
"""At most one document in so many is held out."""
Progress = tuple[int, Report]
"""How many documents there are, and what is told of them."""


def gather(
    documents: Iterable[Document],
    folder: Path,
    settings: AdaptSettings,
    questioners: Sequence[Questioner],
    *,
    hold_out: bool,
    report: Report,
) -> dict[str, Any]:
    """Write the folder; the counts. With `hold_out` some documents lose a sentence, which then asks for them.

    BadInput where the documents give no pair, or too few questions to measure by.
    """
    folder.mkdir(exist_ok=True)
    read, nearest = folder / "read.jsonl", Smallest(settings.held_out if hold_out else 0)

    def counted() -> Iterator[dict[str, str]]:
        for number, document in enumerate(documents, start=1):
            nearest.offer(place_of(settings.seed, "held out", document.id))
            yield {"id": document.id, "title": document.title, "text": document.text}
            report("documents", number, number)

    count = write_lines(read, counted())
    nearest.keep(count // SHARE)
    chosen = PairSettings(language=settings.language, seed=settings.seed)
    pseudo: list[dict[str, str]] = []

    def left() -> Iterator[dict[str, str]]:
        for document in documents_in(read):
            kept = document
            if nearest.holds(place_of(settings.seed, "held out", document.id)):
                asked = held_out_question(document, chosen)
                if asked is not None:
                    query, kept = asked
                    pseudo.append({"id": kept.id, "query": query})
            yield {"id": kept.id, "title": kept.title, "text": kept.text}

    write_lines(folder / DOCUMENTS, left())
    if hold_out and len(pseudo) < FEWEST_HELD_OUT:
        raise BadInput(
            f"The {count:,} documents give {len(pseudo)} held-out questions; at least {FEWEST_HELD_OUT} are needed to "
            "measure by. Give queries and qrels, or more documents."
        )
    write_lines(folder / PSEUDO, pseudo)
    read.unlink()
    held = {one["id"] for one in pseudo}
    made, kept = _write_pairs(folder, settings, questioners, held, (count, report))
    return {"documents": count, "held_out": len(held), "pairs_made": made, "pairs": kept}


def documents_in(path: Path) -> Iterator[Document]:
    """The documents of a file that `gather` wrote."""
    for line in read_lines(path):
        yield Document(line["id"], line["text"], line["title"])


def _write_pairs(
    folder: Path,
    settings: AdaptSettings,
    questioners: Sequence[Questioner],
    held: set[str],
    progress: Progress,
) -> tuple[int, int]:
    """All pairs, and then, of more than training takes, those whose hashes come first."""
    drawn = Smallest(settings.steps * settings.batch_size)
    every = folder / "every.jsonl"

    def pairs() -> Iterator[dict[str, Any]]:
        for number, questioner in enumerate(questioners):
            for pair in _asked(questioner, folder, settings, (number, held), progress):
                drawn.offer(_place(settings.seed, pair.query, pair.positive))
                yield {**asdict(pair), "questioner": questioner.name}

    made = write_lines(every, pairs())
    if not made:
        raise BadInput(
            "The documents give no pair: none has a passage of two sentences, or a title and a text. Give longer texts."
        )
    kept = write_lines(
        folder / PAIRS,
        (line for line in read_lines(every) if drawn.holds(_place(settings.seed, line["query"], line["positive"]))),
    )
    every.unlink()
    for log in folder.glob("asked-*.jsonl"):
        log.unlink()
    return made, kept


def _asked(
    questioner: Questioner, folder: Path, settings: AdaptSettings, which: tuple[int, set[str]], progress: Progress
) -> Iterator[Pair]:
    """Our own are quick. Another, such as a model, is asked of no more documents than training takes pairs."""
    (number, held), (count, report) = which, progress
    quick, most = isinstance(questioner, tuple(OWN.values())), settings.steps * settings.batch_size
    few = None if quick else _chosen(folder, held, settings.seed, most)

    def told() -> Iterator[Document]:
        asked = 0
        for place, document in enumerate(documents_in(folder / DOCUMENTS), start=1):
            if document.id not in held and (few is None or few.holds(_turn(settings.seed, document))):
                asked += 1
                yield document
            unit = f"documents asked by {questioner.name}"
            report(unit, *((place, count) if few is None else (asked, min(count, most))))

    return questioner.ask(told()) if quick else asked_once(questioner, told(), folder / f"asked-{number}.jsonl")


def _chosen(folder: Path, held: set[str], seed: int, most: int) -> "Smallest":
    """Which documents to ask about, whatever their order."""
    found = Smallest(most)
    for document in documents_in(folder / DOCUMENTS):
        if document.id not in held:
            found.offer(_turn(seed, document))
    return found


def _turn(seed: int, document: Document) -> int:
    return place_of(seed, "asked", document.id)


def pairs_in(folder: Path) -> list[Pair]:
    """The pairs that are trained on."""
    names = ("query", "positive", "query_id", "positive_id")
    return [Pair(*(line[name] for name in names)) for line in read_lines(folder / PAIRS)]


def _place(seed: int, query: str, positive: str) -> int:
    return place_of(seed, "pair", query, positive)


class Smallest:
    """The smallest so many of a stream of numbers."""

    def __init__(self, most: int) -> None:
        self._most, self._heap = most, list[int]()

    def offer(self, number: int) -> None:
        """One more."""
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, -number)
        elif self._most and -number > self._heap[0]:
            heapq.heapreplace(self._heap, -number)

    def keep(self, most: int) -> None:
        """No more than so many of them."""
        while len(self._heap) > most:
            heapq.heappop(self._heap)

    def holds(self, number: int) -> bool:
        """Whether a number that was offered is among them."""
        return bool(self._heap) and number <= -self._heap[0]

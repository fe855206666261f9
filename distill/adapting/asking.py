"""A questioner that takes its time, such as a model: asked of each document once, whenever the run is cut off."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from retr.distill.adapting.questions import Questioner
from retr.distill.pairs import Pair
from retr.retrieval.records import Document

AT_ONCE = 16
"""Documents that are asked about together; at most so many are asked about again."""


def asked_once(questioner: Questioner, documents: Iterable[Document], log: Path) -> Iterator[Pair]:
    """The questioner's pairs. What the log holds of the same documents in the same order is not asked again."""
    rest = iter(documents)
    with log.open("a+b") as file:
        file.seek(0)
        while batch := list(islice(rest, AT_ONCE)):
            digest = _digest(questioner, batch)
            pairs = _kept(file, digest)
            if pairs is None:
                pairs = list(questioner.ask(batch))
                _keep(file, digest, pairs)
            yield from pairs


def _digest(questioner: Questioner, documents: Sequence[Document]) -> str:
    told = [questioner.fingerprint, *([one.id, one.title, one.text] for one in documents)]
    return sha256(json.dumps(told).encode()).hexdigest()


def _kept(file: BinaryIO, digest: str) -> list[Pair] | None:
    """The pairs of the next line, if it is whole and of these documents; else all from there on is cut off."""
    start = file.tell()
    try:
        line = json.loads(file.readline())
    except ValueError:
        line = {}
    if line.get("documents") == digest:
        return [Pair(*pair) for pair in line["pairs"]]
    file.truncate(start)
    return None


def _keep(file: BinaryIO, digest: str, pairs: Sequence[Pair]) -> None:
    line = {"documents": digest, "pairs": [astuple(pair) for pair in pairs]}
    file.write(json.dumps(line).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())

"""The Trans-Encoder's cycle over a corpus: the encoder teaches a cross-encoder, and that one a new encoder (TENC)."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retr.distill.adapting.material import Smallest
from retr.distill.adapting.questions import place_of
from retr.distill.adapting.settings import AdaptSettings
from retr.distill.adapting.stages import Report, read_json, read_lines, write_lines
from retr.distill.trans.method import distil
from retr.distill.trans.settings import NAME, ToBi, ToCross, TransRecipe, TransSettings
from retr.encoders.reading.folder import max_tokens, read_folder
from retr.encoders.training.rows import RowsSettings
from retr.encoders.training.settings import TrainSettings

PAIRS, CYCLE = "cycle-pairs.jsonl", "cycle"


def train_in_cycles(start: Path, work: Path, out: Path, settings: AdaptSettings, report: Report) -> dict[str, Any]:
    """The encoder of the last cycle as the folder `out`, out of `work`/rows.jsonl; what its training was.

    Every phase is kept in `work`/cycle.cycles and gone on with; `work`/cycle holds the cross-encoder too.
    """
    pairs, made = work / PAIRS, work / CYCLE
    if not pairs.exists():
        write_lines(pairs, _pairs(work / "rows.jsonl", settings))
    recipe = _recipe(start, pairs, made, settings)
    if not made.exists():
        distil(recipe, _settings(start, settings), report)
    if not out.exists():
        _put(made / "bi", out, start)
    cards = [
        read_json(recipe.work / str(cycle) / f"{kind}-1" / "retr.json")["training"]
        for cycle in range(1, settings.cycles + 1)
        for kind in ("cross", "bi")
    ]
    return {
        "steps": sum(card["steps"] for card in cards),
        "seconds": round(sum(card["seconds"] for card in cards), 1),
        "objective": " + ".join(card["objective"] for card in cards[:2]),
        "cycles": settings.cycles,
        "pairs": cards[0]["rows"]["count"],
    }


def _pairs(rows: Path, settings: AdaptSettings) -> Iterator[dict[str, str]]:
    """Questions with their own passages and with near ones, without a word on which is which.

    Of more than a phase reads, those whose hashes come first.
    """
    drawn = Smallest(settings.steps * settings.batch_size)
    for query, text in _every(rows):
        drawn.offer(place_of(settings.seed, "cycle", query, text))
    for query, text in _every(rows):
        if drawn.holds(place_of(settings.seed, "cycle", query, text)):
            yield {"query": query, "positive": text}


def _every(rows: Path) -> Iterator[tuple[str, str]]:
    for row in read_lines(rows):
        for text in (row["positive"], *row["negatives"]):
            yield row["query"], text


def _recipe(start: Path, pairs: Path, out: Path, settings: AdaptSettings) -> TransRecipe:
    told: dict[str, Any] = {
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "accelerator": settings.accelerator,
        "precision": settings.precision,
        "checkpoint_every": max(1, min(100, settings.steps // 5)),
        "log_every": max(1, settings.steps // 50),
    }
    phases: dict[str, TrainSettings] = {"cross": ToCross(**told), "bi": ToBi(**told)}
    return TransRecipe(NAME, str(start), out, RowsSettings(str(pairs)), seed=settings.seed, **phases)  # type: ignore[arg-type]


def _settings(start: Path, settings: AdaptSettings) -> TransSettings:
    """One order of a pair, since a question is no passage; a pair may be as long as both of its texts."""
    folder = read_folder(start)
    cut = settings.max_tokens if 0 < settings.max_tokens < folder.max_tokens else 0
    pair = min(2 * cut, max_tokens(start, folder.config, None))
    return TransSettings(cycles=settings.cycles, both_orders=False, text_tokens=cut, pair_tokens=pair)


def _put(made: Path, out: Path, start: Path) -> None:
    """The new encoder, whole or not there; however little of a text was read in training, it reads what the old did."""
    from retr.encoders.trainable.sentence_folder import write_lengths

    unfinished, told = out.with_name(f"{out.name}.unfinished"), read_folder(start)
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(made, unfinished)
    write_lengths(unfinished, told.max_tokens, lowercase=told.lowercase)
    os.replace(unfinished, out)

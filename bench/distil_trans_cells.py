"""The cells of bench/distil_trans.py: pairs, starts, cycles, and what each model says of every test pair."""

import csv
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import recording

from retr.distill.labelling.teachers import Question
from retr.distill.trans.method import distil
from retr.distill.trans.settings import ToBi, ToCross, TransRecipe, TransSettings
from retr.distill.trans.teaching import Kind, ensemble, open_model
from retr.encoders.objectives.unsupervised import MirrorBERT, SimCSE
from retr.encoders.trainable.backbone import BackboneSettings
from retr.encoders.trainable.bi import BiSettings, open_bi
from retr.encoders.trainable.cross import open_cross
from retr.encoders.training.job import TrainingJob
from retr.encoders.training.rows import RowsSettings
from retr.encoders.training.settings import TrainSettings

SEEDS = (0, 1, 2)
MODES = ("strict", "paper")
WAYS = ("self", "mutual")
LAYERS = (2, 3)
"""Of MiniLM-L6, counted from the texts' side: of the bi-encoder that distils itself, and of the one beside it."""
TESTS = {
    "STS benchmark test": "stsb/test", "STS12 without MSRvid": "sts12-nomsrvid/test", "STS13": "sts13/test",
    "STS14": "sts14/test", "SICK test": "sick/test",
}  # fmt: skip
TRAINS, DEVS = ("stsb/train", "sick/train", "mrpc/train"), ("stsb/dev", "sick/dev")
SENTENCES, TOKENS, START_STEPS, START_BATCH, START_RATE = 10_000, 32, 40, 100, 1e-4
CROSS: dict[str, Any] = {"batch_size": 32, "learning_rate": 1e-4, "epochs": 1, "validate_every": 100}
BI: dict[str, Any] = {"batch_size": 64, "learning_rate": 1e-4, "epochs": 2, "validate_every": 50}

Graded = tuple[str, str, float]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a cycle: in which mode, alone or with the other model, from the starts of which seed."""

    mode: str
    way: str
    seed: int

    @property
    def name(self) -> str:
        """As its files are called."""
        return f"{self.mode}-{self.way}-{self.seed}"


@dataclass(frozen=True)
class Bench:
    """Where data, model and results are, and how many pairs are learned from."""

    data: Path
    model: Path
    work: Path
    pairs: int
    precision: str = "bfloat16"

    def graded(self, name: str) -> list[Graded]:
        """The pairs of a file, their grades over 5."""
        return [(line["sentence1"], line["sentence2"], float(line["score"]) / 5) for line in self._lines(name)]

    def pairs_of(self, name: str) -> list[tuple[str, str]]:
        """The pairs of a file, whatever their grades or labels."""
        return [(line["sentence1"], line["sentence2"]) for line in self._lines(name)]

    def _lines(self, name: str) -> list[dict[str, str]]:
        with (self.data / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    @cached_property
    def tests(self) -> Mapping[str, list[Graded]]:
        """Every test set."""
        return {title: self.graded(name) for title, name in TESTS.items()}

    @cached_property
    def sources(self) -> Mapping[str, list[str]]:
        """Of every test pair the data set that it was drawn from; SICK and the STS benchmark are told as one."""
        return {title: [line.get("subset", title) for line in self._lines(name)] for title, name in TESTS.items()}

    def cell(self, cell: Cell) -> Mapping[str, Any]:
        """What the models of a cell say of every test pair, made now where it is missing."""
        path = self.work / "measured" / f"{cell.name}.json"
        if not path.exists():
            began = time.process_time()
            starts = [self.start(number, cell.seed) for number in range(len(LAYERS) if cell.way == "mutual" else 1)]
            out = self.work / "cycles" / cell.name
            if not out.exists():
                self._cycle(cell, starts, out)
            told = {**asdict(cell), "pairs": self.rows(cell.mode)[1], **recording.commit()}
            told |= {"says": self._says(cell, out)}
            write(path, told | {"cpu_seconds": round(time.process_time() - began, 1)})
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def start(self, number: int, seed: int) -> Path:
        """A start: the first layers of MiniLM after steps on texts alone, and what it says of every test pair."""
        out, layers = self.work / "starts" / f"{LAYERS[number]}-{seed}", LAYERS[number]
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            student = self._first(layers)
            settings = TrainSettings(
                steps=START_STEPS, batch_size=START_BATCH, learning_rate=START_RATE, warmup=0.0, seed=seed,
                precision=self.precision, accelerator="cpu", checkpoint_every=10,  # type: ignore[arg-type]
            )  # fmt: skip
            rows = RowsSettings(str(self._sentences()), query="text", positive="text")
            objective = SimCSE() if number else MirrorBERT()
            TrainingJob(student, rows, objective, settings).run(out, progress(f"start {layers}-{seed}"))
        path = self.work / "measured" / f"start-{layers}-{seed}.json"
        if not path.exists():
            told = {"mode": "start", "way": str(layers), "seed": seed, "says": {"bi": self._told("bi", [out])}}
            write(path, told | dict(recording.commit()))
        return out

    def plain(self, number: int) -> Path:
        """All layers of MiniLM under a head of its own seed: what cross-encoders begin with."""
        out = self.work / "plain" / str(number)
        if not out.exists():
            unfinished = out.with_name(f"{out.name}.tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            open_cross(self.model, None, BackboneSettings(seed=number)).save(unfinished)
            unfinished.rename(out)
        return out

    def rows(self, mode: str) -> tuple[Path, int]:
        """The pairs of a mode and how many. strict: of training splits, none of them in a test or dev split."""
        path = self.work / "rows" / f"{mode}.jsonl"
        names = [*TRAINS, *([] if mode == "strict" else [*DEVS, *TESTS.values()])]
        known = {frozenset(pair) for name in (*TESTS.values(), *DEVS) for pair in self.pairs_of(name)}
        if not path.exists():
            every = {pair for name in names for pair in self.pairs_of(name)}
            pairs = sorted(pair for pair in every if mode == "paper" or frozenset(pair) not in known)
            random.Random(0).shuffle(pairs)
            lines = [{"query": a, "positive": b} for a, b in pairs[: self.pairs]]
            write_lines(path, lines)
        return path, path.read_bytes().count(b"\n")

    def _cycle(self, cell: Cell, starts: Sequence[Path], out: Path) -> None:
        """One cycle by retr's own method."""
        out.parent.mkdir(parents=True, exist_ok=True)
        held_out = self.work / "rows" / "dev.jsonl"
        if not held_out.exists():
            write_lines(held_out, [{"query": a, "positive": b, "label": y} for a, b, y in self.graded("stsb/dev")])
        shared: dict[str, Any] = {"precision": self.precision, "accelerator": "cpu", "checkpoint_every": 25}
        rows = {"files": str(held_out), "label": "label"}
        recipe = TransRecipe(
            "trans-encoder", tuple(map(str, starts)), out, RowsSettings(str(self.rows(cell.mode)[0])),
            tuple(str(self.plain(number)) for number in range(len(starts))), cell.seed,
            ToCross(**CROSS, **shared), ToBi(**BI, **shared),
            validation={"metric": "spearman", "rows": rows} if cell.mode == "paper" else None,
        )  # fmt: skip
        settings = TransSettings(1, cell.mode, text_tokens=TOKENS, pair_tokens=2 * TOKENS)  # type: ignore[arg-type]
        distil(recipe, settings, progress(cell.name))

    def _says(self, cell: Cell, out: Path) -> dict[str, Any]:
        """Of the first model, and in the mutual way of both together."""
        alone = "" if cell.way == "self" else "-1"
        kinds: tuple[Kind, ...] = ("bi", "cross")
        says = {str(kind): self._told(kind, [out / f"{kind}{alone}"]) for kind in kinds}
        if alone:
            says["bi, both"] = self._told("bi", [out / f"bi-{number}" for number in (1, 2)])
        return says

    def _told(self, kind: Kind, folders: Sequence[Path]) -> dict[str, list[float]]:
        """Bi-encoders on every set; cross-encoders, which take long, on the STS benchmark's test alone."""
        teacher: Any = ensemble(kind, folders) if len(folders) > 1 else open_model(kind, folders[0])
        found = {}
        for title, pairs in self.tests.items() if kind == "bi" else list(self.tests.items())[:1]:
            answers = teacher.answer([Question(a, (b,)) for a, b, _ in pairs])
            found[title] = np.round([float(one[0, 0]) for one in answers], 5).tolist()
        return found

    def _first(self, layers: int) -> Any:
        return open_bi(self.model, BiSettings(similarity="cosine"), BackboneSettings(layers=layers, max_tokens=TOKENS))

    def _sentences(self) -> Path:
        path = self.work / "rows" / "sentences.jsonl"
        if not path.exists():
            texts = dict.fromkeys(text for pair in self.graded("stsb/train") for text in pair[:2])
            write_lines(path, [{"text": text} for text in list(texts)[:SENTENCES]])
        return path


def write(path: Path, content: Mapping[str, Any]) -> None:
    """A whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as JSON lines, a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(unfinished, path)


def progress(what: str) -> Any:
    """Says on stderr every half minute how far a cell is."""
    said = [time.monotonic()]

    def report(unit: str, done: int, total: int) -> None:
        if time.monotonic() - said[0] > 30 or done == total:
            said[0] = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {what}: {done} of {total} {unit}", file=sys.stderr, flush=True)

    return report

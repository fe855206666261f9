"""The cells of bench/distil_dse.py: data, trainings of teachers and students, and their scores on the test pairs."""

import csv
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import recording
from numpy.typing import NDArray

from retr.distill.dse.classifier import load_classifier
from retr.distill.dse.classifying import open_classifier
from retr.distill.dse.objective import PairLoss
from retr.distill.dse.student import open_dse
from retr.distill.dse.tasks import Task
from retr.distill.labelling.asking import label_pairs
from retr.distill.labelling.store import Labels
from retr.encoders.distilled.model import load_model
from retr.encoders.distilled.shape import DseShape
from retr.encoders.trainable.backbone import BackboneSettings
from retr.encoders.training.job import TrainingJob
from retr.encoders.training.rows import Rows, RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.retrieval.evaluation.similarity import evaluate_similarity

SEEDS = (0, 1, 2)
RATES = (5e-5, 1e-4)
EPOCHS = {"teacher": 2, "student": 3}
VARIANTS = ("concat-0.5", "concat-0", "dot-0.5")
BATCH, MAX_TOKENS = 32, 128
ENTAILMENT = ("neutral", "entailment", "contradiction")
TASKS: Mapping[str, Task] = {"stsb": Task("regression"), "mrpc": Task("binary"), "sick": Task("classes", 3)}
"""A folder of RETR_DATA and what is learned of its pairs: grades over 5, paraphrases, entailment."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: `what` is the teacher, or a student's head and weight. `tried`: for its rate alone."""

    task: str
    seed: int
    what: str
    rate: float
    epochs: int
    tried: bool = False

    @property
    def name(self) -> str:
        """As its files are called."""
        return f"{self.task}-{self.what}-{self.seed}" + (f"-at-{self.rate:g}" if self.tried else "")


@dataclass(frozen=True, slots=True)
class Bench:
    """Where data, model and results are."""

    data: Path
    model: Path
    work: Path
    precision: str = "bfloat16"
    rows: int | None = None

    def fits(self, task: str, what: str) -> bool:
        """A dot product gives one number a pair."""
        return not (what.startswith("dot") and TASKS[task].outputs > 1)

    def cell(self, cell: Cell) -> Mapping[str, Any]:
        """The cell's measurement, made now where it is missing."""
        path = self.work / ("tried" if cell.tried else "measured") / f"{cell.name}.json"
        if not path.exists():
            out = self.folder(cell.task, cell.what, cell.seed) if not cell.tried else path.with_suffix("")
            out.parent.mkdir(parents=True, exist_ok=True)
            began = time.process_time()
            if not out.exists():
                self._train(cell, out)
            told = {**asdict(cell), "cpu_seconds": round(time.process_time() - began, 1), **recording.commit()}
            splits = ("dev",) if cell.tried else ("dev", "test")
            logits = {split: self._logits(cell, out, split) for split in splits}
            told |= {"dev": score(cell.task, logits["dev"], self.pairs(cell.task, "dev")[1])}
            if cell.tried:
                shutil.rmtree(out)
            else:
                gold = self.pairs(cell.task, "test")[1]
                told |= {"test": np.round(logits["test"].astype(float), 5).tolist(), "gold": gold}
            self.write(f"{path.parent.name}/{cell.name}", told)
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def folder(self, task: str, what: str, seed: int) -> Path:
        """A trained model's."""
        return self.work / "models" / f"{task}-{what}-{seed}"

    def pairs(self, task: str, split: str) -> tuple[list[Pair], list[float]]:
        """The pairs of a split and their labels."""
        with (self.data / task / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[: self.rows]
        return [(line["sentence1"], line["sentence2"]) for line in lines], [label(task, line) for line in lines]

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """A whole file or none."""
        path = self.work / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(unfinished, path)

    def training(self, task: str) -> RowsSettings:
        """The training pairs as rows, without pairs that are in the test split too."""
        path = self.work / "rows" / f"{task}.jsonl"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            tested = {frozenset(pair) for pair in self.pairs(task, "test")[0]}
            pairs, labels = self.pairs(task, "train")
            rows = [
                {"query": a, "positive": b, "label": value}
                for (a, b), value in zip(pairs, labels, strict=True)
                if frozenset((a, b)) not in tested
            ]
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            os.replace(unfinished, path)
        return RowsSettings(str(path), label="label")

    def _train(self, cell: Cell, out: Path) -> None:
        task, rows = TASKS[cell.task], self.training(cell.task)
        each = rows.paths[0].read_bytes().count(b"\n") // BATCH
        settings = TrainSettings(
            steps=max(each // 2, 1) if cell.tried else None,
            epochs=cell.epochs, batch_size=BATCH, learning_rate=cell.rate, precision=self.precision,  # type: ignore[arg-type]
            seed=cell.seed, accelerator="cpu", checkpoint_every=100,
        )  # fmt: skip
        running = BackboneSettings(seed=cell.seed, max_tokens=MAX_TOKENS)
        report = progress(cell.name)
        if cell.what == "teacher":
            student: Any = open_classifier(self.model, task, running)
            objective = PairLoss(task)
        else:
            head, _, weight = cell.what.partition("-")
            shape = DseShape(head=head, outputs=task.outputs)  # type: ignore[arg-type]
            student = open_dse(self.model, shape, running)
            labels = self._labels(cell, report) if float(weight) else None
            objective = PairLoss(task, float(weight), labels)
        TrainingJob(student, rows, objective, settings).run(out, report)

    def _labels(self, cell: Cell, report: Any) -> Labels:
        """The logits of the teacher of the same seed, by pair id."""
        teacher = load_classifier(str(self.folder(cell.task, "teacher", cell.seed)), TASKS[cell.task])
        rows = Rows(self.training(cell.task), self.work / "read")
        folder = self.work / "labels" / f"{cell.task}-{cell.seed}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            return label_pairs(rows, [teacher], folder, report=report)
        finally:
            rows.close()

    def _logits(self, cell: Cell, out: Path, split: str) -> NDArray[Any]:
        pairs, _ = self.pairs(cell.task, split)
        if cell.what == "teacher":
            return load_classifier(str(out), TASKS[cell.task]).logits(pairs)
        return load_model(str(out)).logits(pairs)


def label(task: str, line: Mapping[str, str]) -> float:
    """Grades over 5, 0 or 1, or the number of the class."""
    if task == "stsb":
        return float(line["score"]) / 5
    return float(line["label"]) if task == "mrpc" else float(ENTAILMENT.index(line["nli_label"]))


def score(task: str, logits: NDArray[Any], gold: Sequence[float]) -> float:
    """Spearman's correlation, or the share of right answers at the fixed threshold."""
    if task == "stsb":
        return float(evaluate_similarity(logits[:, 0].astype(np.float64), np.array(gold)).means["spearman"])
    return float(np.mean(answers(task, logits) == np.array(gold)))


def answers(task: str, logits: NDArray[Any]) -> NDArray[Any]:
    """The class of each pair: the highest logit, or whether the only one is above 0."""
    return np.asarray(logits.argmax(axis=1) if task == "sick" else logits[:, 0] > 0)


def progress(what: str) -> Any:
    """Says on stderr every half minute how far a cell is."""
    said = [time.monotonic()]

    def report(unit: str, done: int, total: int) -> None:
        if time.monotonic() - said[0] > 30 or done == total:
            said[0] = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {what}: {done} of {total} {unit}", file=sys.stderr, flush=True)

    return report

"""The cycles: labels, trainings and measures, each kept under its name, and gone on with where a run was cut off.

CYCLES/run.json                   what was asked for: settings, data, weights
CYCLES/pairs/                     the pairs, in one order and in both, and their texts
CYCLES/start/bi-1/                the first bi-encoder of each model
CYCLES/1/labels-of-bi/            Parquet; the mean over models
CYCLES/1/cross-1/                 a model folder of each model, with its curve and its log
CYCLES/1/cross.json               what was measured: each model, and the ensemble
CYCLES/1/labels-of-cross/, CYCLES/1/bi-1/, CYCLES/1/bi.json
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retr.distill.labelling.asking import LabelSettings, label_pairs
from retr.distill.labelling.store import Labels
from retr.distill.recipe import Report
from retr.distill.trans import phases
from retr.distill.trans.pairs import Pairs
from retr.distill.trans.settings import TransRecipe, TransSettings
from retr.distill.trans.teaching import SCALES, Kind, ensemble, measured, open_model
from retr.encoders.bulk.folder import written
from retr.encoders.training.job import TrainingJob
from retr.encoders.training.rows import Rows, RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.retrieval.errors import NotFound
from retr.retrieval.stamps import sha256_of

if TYPE_CHECKING:
    from retr.encoders.objectives import Objective
    from retr.encoders.trainable.student import Student
    from retr.encoders.training.validating import ValidationSettings

_Made = tuple[Path, Mapping[str, Any]]
"""A new folder, and what its card says of the phase."""

Scores = dict[str, Any]
"""`models`: one number each, and `ensemble`: theirs together; empty without validation."""


@dataclass(frozen=True, slots=True)
class Cycles:
    """One run. `validation` picks checkpoints in the mode paper, and only measures in the mode strict."""

    recipe: TransRecipe
    settings: TransSettings
    pairs: Pairs
    validation: "ValidationSettings | None"
    report: Report

    @property
    def work(self) -> Path:
        """Where everything is."""
        return self.recipe.work

    def run(self) -> list[tuple[str, Kind, Scores]]:
        """Every phase in order, with what was measured after it."""
        bis = self._start()
        course: list[tuple[str, Kind, Scores]] = [("start", "bi", self._measure("start", "bi", bis))]
        starts = bis
        for cycle in map(str, range(1, self.settings.cycles + 1)):
            crosses = self._to_cross(cycle, bis)
            course.append((cycle, "cross", self._measure(cycle, "cross", crosses)))
            bis = self._to_bi(cycle, crosses, starts)
            course.append((cycle, "bi", self._measure(cycle, "bi", bis)))
        return course

    def folders(self, stage: str, kind: Kind) -> list[Path]:
        """Each model's of one phase."""
        return [self.work / stage / f"{kind}-{number}" for number in range(1, len(self.recipe.models) + 1)]

    def _start(self) -> list[Path]:
        phase, settings = self.recipe.start, self.settings

        def make(model: int, out: Path) -> None:
            student = phases.first_bi(self.recipe, settings, model)
            if not settings.start:
                _save(student, out)
                return
            objective = phases.unsupervised(settings.start, student)
            self._train(student, self.pairs.alone, objective, phase, (out, {"phase": settings.start}))

        return self._each("start", "bi", make)

    def _to_cross(self, cycle: str, bis: Sequence[Path]) -> list[Path]:
        rows = self.pairs.both if self.settings.both_orders else self.pairs.one

        def make(model: int, out: Path) -> None:
            labels = self._labels(cycle, "bi", bis)
            student = phases.cross_from_bi(self.recipe, self.settings, model, bis[model])
            told = {"phase": "bi to cross", "cycle": int(cycle), **_source(labels)}
            self._train(student, rows, phases.to_cross(labels), self.recipe.cross, (out, told))

        return self._each(cycle, "cross", make)

    def _to_bi(self, cycle: str, crosses: Sequence[Path], starts: Sequence[Path]) -> list[Path]:
        def make(model: int, out: Path) -> None:
            labels = self._labels(cycle, "cross", crosses)
            student = phases.bi_from_cross(self.recipe, self.settings, starts[model], crosses[model])
            told = {"phase": "cross to bi", "cycle": int(cycle), **_source(labels)}
            self._train(student, self.pairs.one, phases.to_bi(labels), self.recipe.bi, (out, told))

        return self._each(cycle, "bi", make)

    def _each(self, stage: str, kind: Kind, make: Callable[[int, Path], None]) -> list[Path]:
        """Every model's folder of a phase; what is there is whole, and left as it is."""
        (self.work / stage).mkdir(exist_ok=True)
        folders = self.folders(stage, kind)
        for model, out in enumerate(folders):
            if not out.exists():
                make(model, out)
            shutil.rmtree(out.with_name(f"{out.name}.training"), ignore_errors=True)  # of a run killed at its end
        return folders

    def _labels(self, cycle: str, kind: Kind, teachers: Sequence[Path]) -> Labels:
        """The mean of the teachers over the pairs as they were stored; a label of a bi-encoder is of both orders."""
        folder = self.work / cycle / f"labels-of-{kind}"
        asking = LabelSettings(SCALES[kind], symmetric=kind == "bi" and self.settings.both_orders)
        rows = Rows(self.pairs.one, self.work / "read")
        try:
            opened = [open_model(kind, teacher) for teacher in teachers]
            return label_pairs(rows, opened, folder, asking, self._said(f"{cycle} {kind}"))
        finally:
            rows.close()

    def _train(
        self, student: "Student", rows: RowsSettings, objective: "Objective", phase: TrainSettings, made: _Made
    ) -> None:
        out, told = made
        picks = self.settings.mode == "paper" and "cycle" in told
        validation = self.validation if picks else None
        job = TrainingJob(student, rows, objective, self.recipe.seeded(phase), validation, told)
        job.run(out, self._said("/".join(out.parts[-2:])))

    def _measure(self, stage: str, kind: Kind, folders: Sequence[Path]) -> Scores:
        """Of each model and of the ensemble, once."""
        path = self.work / stage / f"{kind}.json"
        if self.validation is None or self.validation.rows is None:
            return {}
        if not path.exists():
            rows, metric = Rows(self.validation.rows, self.work / "held-out"), self.validation.metric
            try:
                alone = [measured(open_model(kind, folder), rows, metric) for folder in folders]
                together = measured(ensemble(kind, folders), rows, metric) if len(folders) > 1 else alone[0]
            finally:
                rows.close()
            write_json(path, {"metric": metric, "models": alone, "ensemble": together})
        found: Scores = json.loads(path.read_text())
        return found

    def _said(self, what: str) -> Report:
        return lambda unit, done, total: self.report(f"{unit} of {what}", done, total)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A whole file or none."""
    with written(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


def hashes_of(paths: Sequence[Path]) -> dict[str, str]:
    """sha256 by name; NotFound where one is not there."""
    if missing := [path for path in paths if not path.is_file()]:
        raise NotFound(f"There is no file {str(missing[0])!r}. Check the files of the recipe.")
    return {path.name: sha256_of(path) for path in paths}


def _source(labels: Labels) -> dict[str, str]:
    return {"teacher": labels.facts.teacher, "labels_sha256": labels.digest}


def _save(student: Any, out: Path) -> None:
    """A start that is not trained, whole or not there."""
    unfinished = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    student.save(unfinished)
    unfinished.rename(out)

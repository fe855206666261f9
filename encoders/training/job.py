"""One run of training: a student, its data, its objective, and in the end a model folder that is whole or not there."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from retr.encoders.bulk.folder import locked, sync_folder
from retr.encoders.objectives import Objective, Preparing
from retr.encoders.trainable.student import Student
from retr.encoders.training.card import write_record
from retr.encoders.training.logs import Log, draw_curve
from retr.encoders.training.rows import Rows, RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.encoders.training.states import State, latest_state, load_best
from retr.encoders.training.validating import ValidationSettings, make_validation, measure
from retr.retrieval.errors import BadInput, Mismatch, NotFound

Report = Callable[[str, int, int], object]
"""What is counted, how many are done, of how many."""
_BEGUN = "run.json"
PACKAGES = ("retr", "torch", "transformers", "pytorch-lightning", "duckdb")


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What learns, from which rows, to make which number small. `recipe` is what the card says it was made by.

    While it runs, all is in the folder `OUT.training`: its states, its log, the best weights. A run that was cut off
    goes on from there, to the very weights that it would have come to; in the end that folder becomes `OUT`.
    """

    student: Student
    rows: RowsSettings
    objective: Objective
    settings: TrainSettings = field(default_factory=TrainSettings)
    validation: ValidationSettings | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def run(self, out: Path, report: Report = lambda unit, done, total: None) -> Mapping[str, Any]:
        """Train, and write the model folder `out`; what its retr.json says of the training."""
        _check_new(out)
        work = out.absolute().with_name(f"{out.name}.training")
        work.mkdir(exist_ok=True)
        if _rank():
            return self._train(work, out, report)
        with locked(work):
            try:
                facts = self._train(work, out, report)
            except BaseException:
                if not (work / _BEGUN).exists():  # Refused before it began: nothing to go on from.
                    shutil.rmtree(work, ignore_errors=True)
                raise
        shutil.rmtree(work)
        return facts

    def _train(self, work: Path, out: Path, report: Report) -> Mapping[str, Any]:
        from retr.encoders.training.lightning import Run, fit
        from retr.encoders.training.sharding import wait_for_all

        if isinstance(self.objective, Preparing):
            self.objective.prepare(self.student)
        rows = Rows(self.rows, work / f"rows-{_rank()}")
        try:
            validation = make_validation(self.validation, work / f"held-out-{_rank()}") if self.validation else None
            began = self._begin(work, rows)
            self._prepare()
            state = latest_state(work / "states")
            start = _start(work, lambda: None if validation is None else measure(validation, self.student))
            Log(work / "log.csv").go_on_after(state.step if state else 0)
            run = Run(
                self.student, rows, self.objective, self.settings, work, validation,
                lambda done, total: report("steps", done, total),
            )  # fmt: skip
            last = fit(run, state)
            if _rank():
                rows.close()
                wait_for_all()
                return {}
            wait_for_all()  # The others read in the folder that is removed in the end.
            facts = self._facts(rows, last, start, time.time() - began)
            return self._finish(work, out, last, facts)
        finally:
            rows.close()

    def _begin(self, work: Path, rows: Rows) -> float:
        """When the run began; Mismatch where the folder is of a run with another recipe, data or settings."""
        asked = {"recipe": _plain(self.recipe), "settings": _plain(self.settings), "rows": _plain(self.rows)}
        asked |= {"objective": repr(self.objective), "data": rows.hashes, "weights": _weights_hash(self.student)}
        path = work / _BEGUN
        if not path.exists():
            _write(path, {"began": time.time(), "asked": asked})
        found = json.loads(path.read_text())
        differing = [name for name, value in asked.items() if found["asked"].get(name) != _plain(value)]
        if differing:
            raise Mismatch(
                f"{str(work)!r} holds a run with another {differing[0]}. Go on with that one's recipe, or remove it."
            )
        return float(found["began"])

    def _prepare(self) -> None:
        from retr.encoders.training.optimising import add_low_rank, checkpoint_activations

        if self.settings.gradient_checkpointing:
            checkpoint_activations(self.student.module)
        if self.settings.lora is not None:
            add_low_rank(self.student.module, self.settings.lora)

    def _facts(self, rows: Rows, last: State, start: float | None, seconds: float) -> dict[str, Any]:
        measured = None
        if self.validation is not None:
            measured = {
                "metric": self.validation.metric,
                "start": start,
                "best": last.best,
                "best_step": last.best_step,
            }
        return {
            "steps": last.step,
            "seconds": round(seconds, 1),
            "validation": measured,
            "rows": {"count": rows.count, "doubles": rows.doubles, "sha256": rows.hashes},
            "objective": repr(self.objective),
            "settings": _plain(self.settings),
            "recipe": _plain(self.recipe),
            "versions": _versions(),
        }

    def _finish(self, work: Path, out: Path, last: State, facts: dict[str, Any]) -> Mapping[str, Any]:
        """The best weights, or the last ones, as a model folder with its card, put into place in one step."""
        from retr.encoders.training.optimising import merge_low_rank

        if last.best_step:
            load_best(work, self.student.module, last.best_step)
        if self.settings.lora is not None:
            merge_low_rank(self.student.module)
        self.student.module.eval()
        model = work / "model"
        shutil.rmtree(model, ignore_errors=True)
        model.mkdir()
        self.student.save(model)
        drawn = draw_curve(
            Log(work / "log.csv"), model / "curve.png", self.validation.metric if self.validation else ""
        )
        shutil.copyfile(work / "log.csv", model / "training.csv")
        for path in sorted((work / "tensorboard").glob("events*")):
            (model / "tensorboard").mkdir(exist_ok=True)
            shutil.copyfile(path, model / "tensorboard" / path.name)
        facts |= {"name": out.name, "curve": "curve.png" if drawn else None}
        write_record(model, facts)
        sync_folder(model)
        os.replace(model, out)
        sync_folder(out.absolute().parent)
        return facts


def _start(work: Path, measured: Callable[[], float | None]) -> float | None:
    """The validation before the first step, measured once a run."""
    path = work / f"start-{_rank()}.json"
    if not path.exists():
        _write(path, {"value": measured()})
    value: float | None = json.loads(path.read_text())["value"]
    return value


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """A whole JSON file or none."""
    unfinished = path.with_name(f"{path.name}.{_rank()}.tmp")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(unfinished, path)


def _rank() -> int:
    """This process's number where Lightning started several; each reads the rows into a database of its own."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _check_new(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BadInput(f"{str(out)!r} exists already. Name a new folder as out, or remove that one first.")
    if not out.absolute().parent.is_dir():
        raise NotFound(f"There is no folder {str(out.parent)!r} for {out.name!r} to be in. Make it first.")


def _plain(value: Any) -> Any:
    """As JSON would give it back: tables, lists, texts and numbers."""
    whole = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.loads(json.dumps(whole, default=str))


def _weights_hash(student: Student) -> str:
    """SHA-256 of the weights before training, by name."""
    digest = sha256()
    for name, value in sorted(student.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).numpy().tobytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "of a working tree"
    return found

"""The method trans-encoder: the cycles, and the models that are kept of them."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

from retr.distill.folder import check_new, new_folder
from retr.distill.recipe import Method, Report
from retr.distill.students.recipe import need_torch
from retr.distill.trans.choosing import chosen_cycle
from retr.distill.trans.pairs import write_pairs
from retr.distill.trans.settings import NAME, TransRecipe, TransSettings
from retr.distill.trans.teaching import Kind
from retr.encoders.bulk.folder import locked
from retr.retrieval.errors import Mismatch

if TYPE_CHECKING:
    from retr.distill.trans.cycling import Cycles, Scores
    from retr.encoders.training.validating import ValidationSettings


def distil(recipe: TransRecipe, settings: TransSettings, report: Report) -> Mapping[str, Any]:
    """Run the cycles that are missing, and write the folder of what is kept; what came of it."""
    need_torch(recipe.method)
    from retr.distill.trans.cycling import Cycles

    check_new(recipe.out)
    validation = recipe.open_validation(settings.mode)
    recipe.first(), recipe.running(recipe.start, 0)  # What is wrong with them is said before anything is read.
    recipe.work.mkdir(exist_ok=True)
    with locked(recipe.work):
        _check_same(recipe, settings, validation)
        held_out = validation.rows if validation is not None and settings.mode == "strict" else None
        pairs = write_pairs(recipe.data, held_out, recipe.work / "pairs", settings.start_texts)
        cycles = Cycles(recipe, settings, pairs, validation, report)
        course = cycles.run()
        return _keep(cycles, course)


def _check_same(recipe: TransRecipe, settings: TransSettings, validation: "ValidationSettings | None") -> None:
    """Mismatch where the folder is of a run with other settings, data or weights."""
    from retr.distill.trans.cycling import hashes_of, write_json
    from retr.encoders.reading.safetensors_file import weight_files

    asked: dict[str, Any] = {NAME: asdict(settings), "student": dict(recipe.student), "backbone": dict(recipe.backbone)}
    asked |= {name: asdict(recipe.seeded(getattr(recipe, name))) for name in ("start", "cross", "bi")}
    asked["data"] = {**hashes_of(recipe.data.paths), "columns": [recipe.data.query, recipe.data.positive]}
    asked["weights"] = [hashes_of(weight_files(folder)) for folder in (*recipe.models, *recipe.plains)]
    if validation is not None and validation.rows is not None:
        asked["validation"] = {"metric": validation.metric, **hashes_of(validation.rows.paths)}
    path = recipe.work / "run.json"
    if not path.exists():
        write_json(path, asked)
    found = json.loads(path.read_text())
    differing = [name for name in (*asked, *found) if _plain(asked.get(name)) != found.get(name)]
    if differing:
        raise Mismatch(
            f"{str(recipe.work)!r} holds a run with another {differing[0]}. Go on with that one's recipe, or remove it."
        )


def _keep(cycles: "Cycles", course: "Sequence[tuple[str, Kind, Scores]]") -> dict[str, Any]:
    """The new folder, whole or not there: each kind's chosen cycle of each model, the curve, and retr.json."""
    from retr.distill.trans.plotting import draw_cycles

    recipe, settings = cycles.recipe, cycles.settings
    metric = cycles.validation.metric if cycles.validation is not None else ""
    kept: dict[str, int] = {}
    with new_folder(recipe.out) as out:
        for kind in get_args(Kind):
            of_kind = [scores for stage, each, scores in course if each == kind and stage != "start"]
            for model in range(len(recipe.models)):
                told = [scores["models"][model] if scores else None for scores in of_kind]
                cycle = chosen_cycle(told, settings.mode)
                name = kind if len(recipe.models) == 1 else f"{kind}-{model + 1}"
                kept[name] = cycle
                shutil.copytree(cycles.folders(str(cycle), kind)[model], out / name)
        draw_cycles(course, cycles.work, out / "curve.png", metric)
        record = {
            "method": NAME, "mode": settings.mode, "models": [folder.name for folder in recipe.models],
            "pairs": cycles.pairs.count, "left_out": cycles.pairs.left_out, "kept": kept,
            "course": [{"cycle": stage, "kind": kind, **scores} for stage, kind, scores in course],
            "run": json.loads((cycles.work / "run.json").read_text()),
        }  # fmt: skip
        (out / "retr.json").write_text(json.dumps({NAME: record}, indent=1) + "\n")
    return _summary(record, course, metric)


def _summary(record: Mapping[str, Any], course: "Sequence[tuple[str, Kind, Scores]]", metric: str) -> dict[str, Any]:
    figures: dict[str, Any] = {"pairs": record["pairs"], "cycles": (len(course) - 1) // 2}
    figures |= {f"cycle of {name}": cycle for name, cycle in record["kept"].items()}
    if metric:
        figures[f"{metric} of the start"] = max(course[0][2]["models"])
        for name, cycle in record["kept"].items():
            kind, _, number = name.partition("-")
            scores = next(one for stage, each, one in course if (stage, each) == (str(cycle), kind))
            figures[f"{metric} of {name}"] = scores["models"][int(number or 1) - 1]
    return {"kind": NAME, "teacher": {"name": " + ".join(record["models"])}, "figures": figures, NAME: dict(record)}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


METHOD = Method(TransSettings, distil, TransRecipe)

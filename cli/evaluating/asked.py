"""What was asked of `retr eval`: the options, which task they mean, and which of them have no meaning for it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from retr.retrieval.errors import BadInput, NotFound, unknown

INPUTS = {
    "pairs": ("sts", "pairs"),
    "candidates": ("selection",),
    "evidence": ("evidence",),
    "images": ("image-text",),
    "run": ("retrieval",),
    "data": ("retrieval",),
    "queries": ("retrieval",),
}
"""An option that says what is evaluated, to the tasks it can mean."""

TASKS: dict[str, str] = {
    "retrieval": "retr.cli.evaluating.retrieval:results",
    "sts": "retr.cli.evaluating.pairs:results",
    "pairs": "retr.cli.evaluating.pairs:results",
    "selection": "retr.cli.evaluating.selection:results",
    "evidence": "retr.cli.evaluating.evidence:results",
    "image-text": "retr.cli.evaluating.images:results",
}
"""A task's name to `module:function`, which takes what was asked and gives the results to show."""

_ALWAYS = ("task", "quiet", "metric")
_MODEL = ("encoder", "rerank", "similarity")
_SEARCH = ("index", "encoder", "chunk_tokens", "mode", "k", "rerank", "rerank_depth")
TAKES = {
    "retrieval": ("run", "qrels", "data", "split", "queries", "save_run", "drop_self", *_SEARCH),
    "sts": ("pairs", "columns", *_MODEL),
    "pairs": ("pairs", "columns", *_MODEL),
    "selection": ("candidates", *_MODEL),
    "evidence": ("evidence", *_SEARCH),
    "image-text": ("images", "captions", "image_of"),
}
"""The options that a task takes beside those that all take."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command; None or empty where nothing was said."""

    task: str | None = None
    metric: tuple[str, ...] = ()
    run: tuple[Path, ...] = ()
    qrels: Path | None = None
    data: Path | None = None
    split: str | None = None
    queries: Path | None = None
    index: Path | None = None
    encoder: str | None = None
    chunk_tokens: int | None = None
    mode: tuple[str, ...] = ()
    k: int | None = None
    rerank: str | None = None
    rerank_depth: int | None = None
    save_run: Path | None = None
    drop_self: bool = False
    pairs: tuple[Path, ...] = ()
    columns: str | None = None
    candidates: Path | None = None
    similarity: str | None = None
    evidence: Path | None = None
    images: Path | None = None
    captions: Path | None = None
    image_of: Path | None = None
    quiet: bool = False

    def given(self) -> dict[str, Any]:
        """The names and values of what was said."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: value for name, value in values.items() if value is not None and value is not False and value != ()
        }


def task_of(asked: Asked) -> str:
    """The task that the options mean; BadInput when they mean none, several, or hold one without a meaning for it."""
    given = asked.given()
    if asked.task is not None and asked.task not in TASKS:
        raise unknown("task", asked.task, TASKS)
    subjects = [name for name in INPUTS if name in given]
    if not subjects:
        raise BadInput(
            "Nothing to evaluate. Give --run RUN --qrels FILE, --data BEIR_FOLDER, --pairs FILE or --candidates FILE; "
            "`retr eval --help` has the rest."
        )
    possible = INPUTS[subjects[0]]
    for other in subjects[1:]:
        if INPUTS[other] != possible:
            raise BadInput(f"--{subjects[0]} and --{other} are different tasks. Evaluate one at a time.")
    if asked.task is not None and asked.task not in possible:
        raise BadInput(f"--{subjects[0]} is not for --task {asked.task}, but for {' or '.join(possible)}.")
    task = asked.task or possible[0]
    for name in given:
        if name not in (*_ALWAYS, *TAKES[task]):
            raise BadInput(f"{flag(name)} has no meaning with --{subjects[0]}. Leave it out.")
    return task


def no_metric(asked: Asked, known: str) -> None:
    """BadInput when metrics were named for a task whose metrics are fixed."""
    if asked.metric:
        raise NotFound(f"--metric {asked.metric[0]} cannot be chosen for this task; it always gives {known}.")


def flag(name: str) -> str:
    """An option as it is written on the command line."""
    return "-k" if name == "k" else f"--{name.replace('_', '-')}"

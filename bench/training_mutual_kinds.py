"""The kinds of model that training_mutual.py trains alike: their recipes, their training, their scores, their time."""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from training_mutual_data import CANDIDATE_TOKENS, CONTEXT_TOKENS, Dialogue

from retr.encoders import load_scorer
from retr.encoders.training.recipe import STUDENTS, read_recipe
from retr.retrieval.kinds import resolve

AT_ONCE = 32
"""Contexts scored in one call, whose rows are then grouped by length."""
LENGTHS = {"context_tokens": CONTEXT_TOKENS, "candidate_tokens": CANDIDATE_TOKENS}
OBJECTIVE = {"name": "listwise", "student": "scores", "teacher": False}
"""The softmax cross-entropy over a dialogue's four candidates."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of student, the `[student]` and `[backbone]` tables of its recipe, and what the tables call it."""

    student: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)
    rate_of: str = ""
    """Another kind, whose learning rate this one takes."""
    alone: bool = True
    """Whether a candidate's score does not depend on the others of its call."""


KINDS = {
    "bi": Kind(
        "bi", "bi-encoder", {"normalise": False, "similarity": "dot"}, {"max_tokens": CONTEXT_TOKENS}
    ),
    "cross": Kind("cross", "cross-encoder", {}, {"max_tokens": CONTEXT_TOKENS + CANDIDATE_TOKENS}),
    "uni-arrow": Kind("uni", "Uni-Encoder, arrow", {"mask": "arrow", **LENGTHS}, rate_of="uni-one_way", alone=False),
    "uni-one_way": Kind("uni", "Uni-Encoder, one-way", {"mask": "one_way", **LENGTHS}),
    "poly": Kind("poly", "Poly-encoder, 64 codes", {"codes": 64, **LENGTHS}),
}  # fmt: skip
"""Nothing is cut by a model: all texts fit, and bi and poly score by inner products that nothing divides."""


@dataclass(frozen=True, slots=True)
class Start:
    """What all kinds begin with and how they are trained; only the learning rate is a kind's own."""

    model: Path
    layers: int
    batch_size: int
    precision: str

    def tables(self, kind: str, rows: Path, out: Path, train: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe of one run; `train` has its seed, its learning rate, and its steps or else takes one epoch."""
        chosen = KINDS[kind]
        same = {"batch_size": self.batch_size, "precision": self.precision, "checkpoint_every": 100}
        return {
            "kind": chosen.student,
            "model": str(self.model),
            "out": str(out),
            "data": {"files": str(rows), "query": "query", "positive": "positive", "negatives": "negatives"},
            "objective": OBJECTIVE,
            "student": dict(chosen.settings),
            "backbone": {"layers": self.layers, "seed": train["seed"], **chosen.backbone},
            "train": {**same, "accelerator": "cpu", **train},
        }


def train(tables: Mapping[str, Any], report: Callable[[str, int, int], object]) -> dict[str, Any]:
    """Train by a recipe, or go on with it; its steps and rows, and the CPU seconds of all processes at it."""
    out = Path(tables["out"])
    spent = out.with_name(f"{out.name}.cpu")
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        recipe = out.with_name(f"{out.name}.toml")
        recipe.write_text(toml(tables), encoding="utf-8")
        before, began = seconds_in(spent), time.process_time()

        def counted(unit: str, done: int, total: int) -> None:
            spent.write_text(str(before + time.process_time() - began))
            report(unit, done, total)

        read_recipe(recipe).job().run(out, counted)
    facts = json.loads((out / "retr.json").read_text(encoding="utf-8"))["training"]
    return {"cpu_seconds": round(seconds_in(spent), 1), "steps": facts["steps"], "rows": facts["rows"]["count"]}


def seconds_in(path: Path) -> float:
    """What an earlier process has written there, if one has."""
    return float(path.read_text() or 0) if path.exists() else 0.0


def toml(tables: Mapping[str, Any]) -> str:
    """Texts, numbers and booleans, and tables of these; JSON writes them as TOML does."""
    plain = [f"{name} = {json.dumps(value)}" for name, value in tables.items() if not isinstance(value, Mapping)]
    for name, table in tables.items():
        if isinstance(table, Mapping):
            plain += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(plain) + "\n"


def opened(kind: str, folder: Path) -> Any:
    """The trained student, ready to be asked."""
    student = resolve(STUDENTS[KINDS[kind].student][0], {}, "student")(folder)
    student.module.eval().requires_grad_(False)
    return student


def scores(student: Any, dialogues: Sequence[Dialogue]) -> dict[str, list[float]]:
    """One score a candidate, by dialogue, in float32."""
    found: dict[str, list[float]] = {}
    with torch.inference_mode():
        for first in range(0, len(dialogues), AT_ONCE):
            part = dialogues[first : first + AT_ONCE]
            rows = student.score([one.context for one in part], [one.candidates for one in part])
            found |= {one.id: [round(score, 5) for score in row.tolist()] for one, row in zip(part, rows, strict=True)}
    return found


Ask = Callable[[Any, Dialogue], object]


@dataclass(frozen=True, slots=True)
class Way:
    """How a trained model is asked: the student itself by torch, or what a search opens (`served`)."""

    kind: str
    title: str
    ask: Ask
    served: bool = False

    def open(self, folder: Path) -> Any:
        """What is asked."""
        return load_scorer(f"{KINDS[self.kind].student}={folder}") if self.served else opened(self.kind, folder)


def together(student: Any, dialogue: Dialogue) -> None:
    """Everything read in this call."""
    student.score([dialogue.context], [dialogue.candidates])


def context_first(student: Any, dialogue: Dialogue) -> None:
    """The context read once, then the candidates after it, as a search does with a one-way Uni-Encoder."""
    student.score_after(student.read(dialogue.context), dialogue.candidates)


def bi_kept(student: Any, dialogue: Dialogue) -> None:
    """The candidates' vectors are there already."""
    kept(student, dialogue, student.encode_documents) @ student.encode_queries([dialogue.context])[0]


def poly_kept(student: Any, dialogue: Dialogue) -> None:
    """The candidates' vectors are there already."""
    vectors = kept(student, dialogue, student.read_candidates)
    student.score_vectors(student.read_contexts([dialogue.context]), [vectors])


_KEPT: dict[tuple[int, tuple[str, ...]], torch.Tensor] = {}


def kept(student: Any, dialogue: Dialogue, read: Callable[[list[str]], torch.Tensor]) -> torch.Tensor:
    """The vectors of a dialogue's candidates, read the first time; the untimed round of `milliseconds` is that."""
    key = (id(student), dialogue.candidates)
    if key not in _KEPT:
        _KEPT[key] = read(list(dialogue.candidates))
    return _KEPT[key]


def served(scorer: Any, dialogue: Dialogue) -> None:
    """As reranking asks."""
    scorer.score(dialogue.context, dialogue.candidates)


WAYS = {
    way.title: way
    for way in (
        Way("bi", "bi", together),
        Way("bi", "bi, candidates kept", bi_kept),
        Way("poly", "poly", together),
        Way("poly", "poly, candidates kept", poly_kept),
        Way("uni-arrow", "uni-arrow", together),
        Way("uni-one_way", "uni-one_way", together),
        Way("uni-one_way", "uni-one_way, context first", context_first),
        Way("cross", "cross", together),
        Way("poly", "poly, served, candidates kept", served, served=True),
        Way("uni-arrow", "uni-arrow, served", served, served=True),
        Way("uni-one_way", "uni-one_way, served", served, served=True),
        Way("cross", "cross, served", served, served=True),
    )
}
"""What is timed; served without torch, where the model's family allows it."""


@contextmanager
def one_thread() -> Any:
    """torch on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def milliseconds(
    folders: Mapping[str, Path], lists: Mapping[int, Sequence[Dialogue]], repeats: int
) -> dict[str, dict[str, list[float]]]:
    """CPU milliseconds a context by way and number of candidates, one figure a round; the ways take turns."""
    found: dict[str, dict[str, list[float]]] = {title: {str(count): [] for count in lists} for title in WAYS}
    with torch.inference_mode(), one_thread():
        asked = {title: way.open(folders[way.kind]) for title, way in WAYS.items()}
        for count, dialogues in lists.items():
            for number in range(repeats + 1):
                for title, way in WAYS.items():
                    taken = _round(asked[title], way.ask, dialogues)
                    found[title][str(count)] += [taken] if number else []
            _KEPT.clear()
    return found


def _round(student: Any, ask: Ask, dialogues: Sequence[Dialogue]) -> float:
    began = time.process_time()
    for dialogue in dialogues:
        ask(student, dialogue)
    return 1000 * (time.process_time() - began) / len(dialogues)


def summary(rounds: Sequence[float]) -> dict[str, float]:
    """Median, least and most of some rounds."""
    return {"median": statistics.median(rounds), "least": min(rounds), "most": max(rounds)}

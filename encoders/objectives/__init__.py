"""Objectives: each a frozen class of settings that is called as `(student, batch)` and gives one loss to minimise."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from retr.retrieval.errors import BadInput, RetrError
from retr.retrieval.kinds import resolve
from retr.retrieval.settings import settings_from

if TYPE_CHECKING:  # Listing objectives must not import torch.
    from torch import Tensor

    from retr.encoders.trainable.student import Student
    from retr.encoders.training.batches import Batch

OBJECTIVES: dict[str, str] = {
    "infonce": "retr.encoders.objectives.contrastive:InfoNCE",
    "late-infonce": "retr.encoders.objectives.late:LateInfoNCE",
    "filip": "retr.encoders.objectives.filip:FILIP",
    "cosent": "retr.encoders.objectives.graded:CoSENT",
    "angle": "retr.encoders.objectives.graded:AnglE",
    "cosine-mse": "retr.encoders.objectives.graded:CosineMSE",
    "triplet": "retr.encoders.objectives.margins:Triplet",
    "margin-mse": "retr.encoders.objectives.margins:MarginMSE",
    "bce": "retr.encoders.objectives.listwise:BinaryCrossEntropy",
    "listwise": "retr.encoders.objectives.listwise:ListwiseSoftmax",
    "listwise-mlm": "retr.encoders.objectives.words:ListwiseMLM",
    "masked-blocks": "retr.encoders.objectives.smith:MaskedBlocks",
    "mvp": "retr.encoders.objectives.mvp:MVPLoss",
    "logit-mse": "retr.encoders.objectives.distilling:LogitMSE",
    "mixed-mse": "retr.encoders.objectives.distilling:MixedMSE",
    "lambda": "retr.encoders.objectives.ranking:LambdaLoss",
    "ranknet": "retr.encoders.objectives.preferences:RankNet",
    "simcse": "retr.encoders.objectives.unsupervised:SimCSE",
    "mirror-bert": "retr.encoders.objectives.unsupervised:MirrorBERT",
    "nt-xent": "retr.encoders.objectives.ullme:NTXent",
    "sft": "retr.encoders.objectives.preference:SFT",
    "preference": "retr.encoders.objectives.preference:Preference",
    "grl": "retr.encoders.objectives.grl:GRL",
    "query-likelihood": "retr.encoders.objectives.query_likelihood:QueryLikelihood",
}
"""An objective's name to `module:class`."""

WRAPPERS: dict[str, str] = {
    "matryoshka": "retr.encoders.objectives.matryoshka:Matryoshka",
    "grad-cache": "retr.encoders.objectives.grad_cache:GradCache",
}
"""What goes around an objective, innermost first: a table of that name within the objective's."""


class Objective(Protocol):
    """What is to be made small."""

    def __call__(self, student: "Student", batch: "Batch") -> "Tensor":
        """One number, a tensor without dimensions, with gradients."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """An objective that gives the student something to learn with, before its optimiser is made."""

    def prepare(self, student: "Student") -> None:
        """Called once a run, on a student as it was opened; a run that goes on calls it again."""
        ...


def objective_from(table: Mapping[str, Any], where: str) -> Objective:
    """The objective that a table names: `name`, its settings, and tables `matryoshka` and `grad-cache` around it."""
    name = table.get("name")
    if not isinstance(name, str):
        raise BadInput(f"{where}: name is missing or no string. Known: {', '.join(OBJECTIVES)}.")
    settings = {key: value for key, value in table.items() if key != "name" and key not in WRAPPERS}
    objective: Objective = settings_from(_class(name, OBJECTIVES, where), settings, where)
    for wrapper in (wrapper for wrapper in WRAPPERS if wrapper in table):
        inner = f"{where}.{wrapper}"
        around = settings_from(_class(wrapper, WRAPPERS, where), table[wrapper], inner)
        objective = around.around(objective)
    return objective


def _class(name: str, table: Mapping[str, str], where: str) -> Any:
    try:
        return resolve(name, table, "objective")
    except RetrError as error:
        raise type(error)(f"{where}: {error}") from None

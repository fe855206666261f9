"""Other architectures: the graph that torch.onnx writes of a transformers model, rewritten for lower precision.

Needs `retr[export]`.
"""

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from retr.encoders.exporting import rewriting
from retr.encoders.exporting.named import LARGEST_INSIDE
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import Precision
from retr.encoders.running.network import KNOWN_INPUTS, LOGITS, STATES, Network
from retr.retrieval.errors import RetrError

OPSET = 18
EXAMPLE = (2, 9)
"""Texts and tokens of the example that is traced; both are free in the graph."""


@dataclass(frozen=True, slots=True, eq=False)
class FromGraph:
    """A traced graph; a unit is one matrix, by its initializer's name."""

    graph: Any
    built: Literal["retr", "torch"] = "torch"

    def units(self) -> list[str]:
        """The matrices that a MatMul has as its right side."""
        return rewriting.matrices(self.graph)

    def write(self, path: Path, precision: Precision, kept: Collection[str] = ()) -> list[Path]:
        """The graph, rewritten for the precision; weights beside it where one file cannot hold them."""
        import onnx

        model = REWRITES[precision](self.graph, kept)
        beside = model.ByteSize() > LARGEST_INSIDE
        place = f"{path.name}_data"
        onnx.save(model, str(path), save_as_external_data=beside, location=place if beside else None)
        return [path, path.with_name(place)] if beside else [path]

    def fast(self, kept: Collection[str]) -> Network | None:
        """None: the file itself is run."""
        return None


REWRITES: dict[Precision, Callable[[Any, Collection[str]], Any]] = {
    "float32": lambda graph, kept: graph,
    "float16": lambda graph, kept: rewriting.to_float16(graph),
    "int8": rewriting.to_int8,
}


def trace(folder: Path, classifier: bool, workspace: Path) -> FromGraph:
    """The model of a folder as an ONNX graph: no code from the folder is run, weights are safetensors."""
    import onnx

    model, names = _load(folder, classifier)
    path = workspace / "traced.onnx"
    with quietly():
        try:
            _export(model, names, classifier, path)
        except Exception as error:  # torch's exporter raises many kinds
            reason = " ".join(str(error).split())[:300]
            raise RetrError(
                f"torch cannot write {folder} as ONNX ({type(error).__name__}: {reason}). Use the folder as it "
                "is: retr runs it by torch."
            ) from None
    graph = onnx.load(str(path))
    for file in workspace.glob("traced.onnx*"):
        file.unlink()
    return FromGraph(rewriting.without_traces(graph))


def _load(folder: Path, classifier: bool) -> tuple[Any, list[str]]:
    """The model in float32, and the inputs that it and its tokenizer know."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    loader = AutoModelForSequenceClassification if classifier else AutoModel
    with quietly():
        model = loader.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",
        )
    known = inspect.signature(model.eval().float().forward).parameters
    settings = read_json(folder / "tokenizer_config.json", missing={})
    wanted = settings.get("model_input_names") or KNOWN_INPUTS[:2]
    names = [name for name in KNOWN_INPUTS if name in known and (name in wanted or name in KNOWN_INPUTS[:2])]
    return model, names


def _export(model: Any, names: list[str], classifier: bool, path: Path) -> None:
    import torch

    class Outer(torch.nn.Module):
        """The model with one tensor as its output."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, *given: Any) -> Any:
            found = self.inner(**dict(zip(names, given, strict=True)))
            return found.logits if classifier else found.last_hidden_state

    examples = {name: torch.ones(EXAMPLE, dtype=torch.long) for name in names}
    examples["input_ids"] = torch.arange(EXAMPLE[0] * EXAMPLE[1]).reshape(EXAMPLE) % 7 + 3
    if "token_type_ids" in examples:
        examples["token_type_ids"] = torch.zeros(EXAMPLE, dtype=torch.long)
    texts, tokens = torch.export.Dim("texts", min=1), torch.export.Dim("tokens", min=2)
    with torch.no_grad():
        torch.onnx.export(
            Outer(),
            tuple(examples.values()),
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=[LOGITS[0] if classifier else STATES[0]],
            dynamic_shapes=(tuple({0: texts, 1: tokens} for _ in names),),
            external_data=True,
            verbose=False,
        )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """torch's exporter warns and prints about its own insides."""
    logging.disable(logging.WARNING)
    try:
        said = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)

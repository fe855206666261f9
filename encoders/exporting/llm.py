"""Exporting decoders that embed: the graph makes its own mask of who looks at whom, and learned pooling is inside."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from retr.encoders.exporting.bi import BiSubject
from retr.encoders.exporting.layout import write_modules
from retr.encoders.exporting.making import Maker
from retr.encoders.exporting.single import OneNetwork
from retr.encoders.exporting.texts import Texts
from retr.encoders.llm.encoder import load_folder
from retr.encoders.llm.folder import POOLING_FILE, LlmFolder, read_llm
from retr.encoders.on_torch.silence import silent
from retr.encoders.reading.folder import read_folder
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, RetrError, missing_package


@dataclass(frozen=True, slots=True, eq=False)
class LlmSubject(BiSubject):
    """A decoder and its texts; see `Subject`."""

    kind: str = "llm"
    told: LlmFolder = field(kw_only=True)

    def served(self, folder: Path) -> Floats:
        """[texts, dim]."""
        return load_folder(folder).encode_documents(self.texts.texts).values

    def by_torch(self) -> Floats:
        """[texts, dim], by sentence-transformers where it can read the folder; else as retr runs it, by torch too."""
        if not (self.folder / "modules.json").is_file():
            return self.outputs()
        with silent():
            return BiSubject.by_torch(self)

    def write_settings(self, out: Path) -> None:
        """retr's table, learned pooling, and what sentence-transformers reads."""
        table = {name: value for name, value in asdict(self.told.table).items() if value is not None}
        (out / "retr.json").write_text(json.dumps({"llm": table}, indent=2) + "\n", encoding="utf-8")
        if self.told.table.latent is not None:
            shutil.copyfile(self.folder / POOLING_FILE, out / POOLING_FILE)
        elif (self.folder / "modules.json").is_file():
            write_modules(read_folder(self.folder), out)


def open_source(folder: Path, name: str, texts: Texts) -> OneNetwork:
    """The model of a folder as torch runs it; BadInput for an adapter, and for learned pooling that skips a prompt."""
    told = read_llm(folder)
    if told.has_adapter:
        raise BadInput(f"{folder} is an adapter beside its base. Merge it first: train with adapters = merge, or peft.")
    prompted = told.table.query_prompt or told.table.document_prompt
    if told.table.latent is not None and prompted and not told.table.include_prompt:
        raise BadInput(f"{folder} pools over what follows its prompt, by layers of its own, which a file cannot tell.")
    return OneNetwork(LlmSubject(load_folder(folder, name, "cpu"), told.path, texts, told=told), make=open_maker)


def open_maker(folder: Path, classifier: bool, workspace: Path, report: Callable[[str], None]) -> Maker:
    """The maker of a decoder's graph, which torch writes."""
    for package in ("torch", "transformers", "onnxscript", "onnx"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for="Exporting a decoder", extra="export")
    from retr.encoders.exporting.by_torch import FromGraph, quietly
    from retr.encoders.exporting.llm_graph import written

    report("tracing the decoder with torch")
    told = read_llm(folder)
    try:
        with quietly():
            graph = written(told, workspace)
    except RetrError:
        raise
    except Exception as error:  # torch's exporter raises many kinds
        reason = " ".join(str(error).split())[:300]
        raise RetrError(
            f"torch cannot write {folder} as ONNX ({type(error).__name__}: {reason}). Use the folder as it is: retr "
            "runs it by torch."
        ) from None
    return FromGraph(graph)

"""Exporting decoders that embed: the graph makes its own mask of who looks at whom, and learned pooling is inside."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.exporting.comparing import compare_vectors
from retr.encoders.exporting.layout import write_modules
from retr.encoders.exporting.making import Maker
from retr.encoders.exporting.single import OneNetwork
from retr.encoders.exporting.texts import Texts
from retr.encoders.llm.encoder import LlmEncoder, load_folder
from retr.encoders.llm.folder import POOLING_FILE, LlmFolder, read_llm
from retr.encoders.reading.folder import read_folder
from retr.encoders.running.network import Network
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, RetrError, missing_package


@dataclass(frozen=True, slots=True, eq=False)
class LlmSubject:
    """A decoder and its texts; see `Subject`."""

    model: LlmEncoder
    told: LlmFolder
    texts: Texts
    kind: str = "llm"
    classifier: bool = False
    task: str = "sentence-similarity"

    @property
    def folder(self) -> Path:
        """Where the original is."""
        return self.told.path

    @property
    def about(self) -> Mapping[str, Any]:
        """What the original tells of itself."""
        return self.model.describe()

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest text."""
        return self.model.max_tokens

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        return self.texts.facts()

    def outputs(self, network: Network | None = None, *, whole: bool = False) -> Floats:
        """[texts, dim]."""
        model = self.model if network is None else replace(self.model, network=network)
        return model.encode_documents(self.texts.texts).values

    def served(self, folder: Path) -> Floats:
        """[texts, dim]."""
        return load_folder(folder).encode_documents(self.texts.texts).values

    def by_torch(self) -> Floats:
        """[texts, dim], by sentence-transformers where it can read the folder."""
        if not (self.folder / "modules.json").is_file():
            return self.outputs()
        from sentence_transformers import SentenceTransformer

        from retr.encoders.llm.loading import silent

        with silent():
            model = SentenceTransformer(str(self.folder), device="cpu", local_files_only=True, trust_remote_code=False)
        found = model.encode(
            list(self.texts.texts),
            prompt=self.model.document_prompt or None,
            normalize_embeddings=self.model.head.normalised,
            show_progress_bar=False,
        )
        return np.asarray(found, np.float32)

    def compare(self, found: Floats, exact: Floats) -> dict[str, float]:
        """Cosines, the largest difference, and the neighbours that stay."""
        return compare_vectors(found, exact)

    def loss(self, figures: dict[str, float]) -> float:
        """One less the worst cosine."""
        return 1 - figures["worst_cosine"]

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
    return OneNetwork(LlmSubject(load_folder(folder, name, "cpu"), told, texts), make=open_maker)


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

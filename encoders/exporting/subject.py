"""What the exporter needs to know of a kind of model: one class of these shapes makes a kind exportable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from retr.encoders.exporting.settings import ExportSettings
from retr.encoders.reading.record import Record
from retr.encoders.running.network import Network
from retr.retrieval.embeddings import Floats

Report = Callable[[str], None]
Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written into a folder: the network, by its path there, and every file whose hash is told."""

    network: str
    files: tuple[Path, ...]
    built: Literal["retr", "torch"] = "retr"
    kept: tuple[str, ...] = ()


class Exportable(Protocol):
    """A loaded original that writes itself, and says how near what it wrote is."""

    @property
    def kind(self) -> str:
        """The kind that loads it."""
        ...

    @property
    def task(self) -> str:
        """What hubs call such a model."""
        ...

    @property
    def library(self) -> str:
        """What else loads the folder."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """What the original tells of itself."""
        ...

    def originals(self) -> list[Path]:
        """The files of the original's weights."""
        ...

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        ...

    def write(self, folder: Path, settings: ExportSettings, report: Report) -> Written:
        """Write the networks, and all that is needed to load the folder, but for its record."""
        ...

    def figures(self, folder: Path, record: Record, settings: ExportSettings) -> Figures:
        """How near the folder is to the original, by what was compared."""
        ...


class Subject(Protocol):
    """A loaded original of one network, and the texts on which it is compared; see `single.OneNetwork`."""

    @property
    def kind(self) -> str:
        """The kind that loads it."""
        ...

    @property
    def task(self) -> str:
        """What hubs call such a model."""
        ...

    @property
    def folder(self) -> Path:
        """Where the original is."""
        ...

    @property
    def classifier(self) -> bool:
        """Whether the network's end is logits."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest text."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """What the original tells of itself."""
        ...

    def outputs(self, network: Network | None = None, *, whole: bool = False) -> Floats:
        """The original's vectors or scores of the texts, or those of `network` in the place of its own.

        `whole`: the network also computes the classifier's head.
        """
        ...

    def served(self, folder: Path) -> Floats:
        """What the exported folder, loaded, gives for the texts."""
        ...

    def by_torch(self) -> Floats:
        """What torch gives for the texts, from the original folder."""
        ...

    def compare(self, found: Floats, exact: Floats) -> dict[str, float]:
        """The figures of two outputs."""
        ...

    def loss(self, figures: dict[str, float]) -> float:
        """How bad the figures are; zero is perfect."""
        ...

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        ...

    def write_settings(self, out: Path) -> None:
        """Write what sentence-transformers needs to load the folder, apart from weights and tokenizer."""
        ...

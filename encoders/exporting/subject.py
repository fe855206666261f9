"""What the exporter needs to know of a kind of model: one class of this shape makes a kind exportable."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from retr.encoders.running.network import Network
from retr.retrieval.embeddings import Floats


class Subject(Protocol):
    """A loaded original, and the texts on which it is compared."""

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

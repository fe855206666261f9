"""What `retr mcp` is asked for."""

from dataclasses import dataclass
from pathlib import Path

from retr.index.settings import SearchSettings, check_wait
from retr.retrieval.errors import BadInput
from retr.retrieval.filters import parse


@dataclass(frozen=True, slots=True)
class McpSettings:
    """An index, by its folder or the address of its store, and what agents may do with it.

    `where` limits what they see.
    """

    index: Path | str
    write: bool = False
    mode: str = "hybrid"
    where: str | None = None
    rerank: str | None = None
    wait_seconds: float = 10.0

    def __post_init__(self) -> None:
        SearchSettings(mode=self.mode)  # type: ignore[arg-type]  # checked there
        check_wait(self.wait_seconds)
        if self.where is not None:
            parse(self.where)
        if self.where is not None and self.write:
            raise BadInput(
                "--where limits what is read, and with --write an agent could change what it cannot see. Leave one out."
            )

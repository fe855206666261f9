"""What a SMITH encoder is told of itself, in training and in serving alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from retr.encoders.rankers.settings import told_settings
from retr.encoders.reading.folder import read_json
from retr.retrieval.errors import BadInput

Combine = Literal["normal", "sum_concat", "mean_concat"]
Overlong = Literal["split", "cut"]
PARTS = "smith.safetensors"
"""The file with the weights above the encoder of blocks."""


@dataclass(frozen=True, slots=True)
class SmithSettings:
    """Blocks of whole sentences: at most `blocks`, each of at most `block_tokens` tokens, special ones included.

    A sentence longer than a block goes on in the next (`split`), or loses its end, as published (`cut`). Above the
    blocks are `layers` of `heads` heads, 0 standing for one a 64 numbers. A document is the first block's state there;
    with `sum_concat` and `mean_concat` the blocks' own vectors, summed or averaged, stand beside it before the last
    linear layer. `hidden_blocks` adds the head by which `masked-blocks` trains.
    """

    block_tokens: int = 32
    blocks: int = 48
    layers: int = 3
    heads: int = 0
    combine: Combine = "normal"
    overlong: Overlong = "split"
    hidden_blocks: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers out of their range, and unknown words."""
        for name, least in (("block_tokens", 4), ("blocks", 1), ("layers", 1), ("heads", 0)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} is {getattr(self, name)}; give at least {least}.")
        for name, known in (("combine", get_args(Combine)), ("overlong", get_args(Overlong))):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} is {', '.join(known)}; got {getattr(self, name)!r}.")

    def heads_of(self, dim: int) -> int:
        """Heads over states of `dim` numbers; BadInput where they do not share them evenly."""
        heads = self.heads or max(dim // 64, 1)
        if dim % heads:
            raise BadInput(
                f"heads is {heads}, and the encoder's {dim} numbers cannot be shared by so many. Change heads."
            )
        return heads

    @property
    def combined(self) -> int:
        """How many vectors stand side by side before the last layer."""
        return 1 if self.combine == "normal" else 2


def told(folder: Path) -> SmithSettings | None:
    """The settings that training wrote; None for a folder of another kind."""
    table: Any = read_json(folder / "retr.json", missing={}).get("smith")
    return told_settings(SmithSettings, table, folder, "smith") if isinstance(table, dict) else None

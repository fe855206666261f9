"""What a Distilled Sentence Embedding's folder says of itself: which states are pooled, and which head follows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from retr.encoders.reading.folder import read_json
from retr.retrieval.errors import BadInput
from retr.retrieval.settings import settings_from

HEAD = "dse.safetensors"
"""The file of the head, and of the embedding layer where there is one."""


@dataclass(frozen=True, slots=True)
class DseShape:
    """A sentence's vector and the head over two of them (Barkan et al. 2020, arXiv 1908.05161).

    The states of the last `layers` layers are put side by side (`combine` concat) or averaged, and pooled over the
    tokens, the first one left out unless `with_cls`. `embedding` adds a linear layer to that many numbers. The head
    `concat` reads [u; v; u * v; |u - v|] through `hidden` units with ReLU; `dot` is a * <u, v> + b with a above 0, so
    an index of inner products ranks as it does. `symmetric` takes the mean over both orders of a pair. With `unit` (not
    in the paper) a vector has length one, and the head reads all of them at one length, which they had on average
    before training: then the vectors that an index holds are all that it needs.
    """

    head: Literal["concat", "dot"] = "concat"
    outputs: int = 1
    layers: int = 4
    combine: Literal["concat", "mean"] = "concat"
    pooling: Literal["mean", "mean_sqrt_len_tokens", "max"] = "mean"
    with_cls: bool = False
    embedding: int = 0
    hidden: int = 512
    symmetric: bool = False
    unit: bool = False

    def __post_init__(self) -> None:
        """Refuse counts out of range, and a dot product of several outputs."""
        for name, known in (("head", ("concat", "dot")), ("combine", ("concat", "mean"))):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} is {' or '.join(known)}; got {getattr(self, name)!r}.")
        if self.pooling not in ("mean", "mean_sqrt_len_tokens", "max"):
            raise BadInput(f"pooling is mean, mean_sqrt_len_tokens or max; got {self.pooling!r}.")
        for name, least in (("outputs", 1), ("layers", 1), ("hidden", 1), ("embedding", 0)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least {least}.")
        if self.head == "dot" and self.outputs != 1:
            raise BadInput(f"The head dot gives one number a pair, not {self.outputs}. Use the head concat.")

    @property
    def skip(self) -> int:
        """Tokens at a text's front that are not pooled."""
        return 0 if self.with_cls else 1

    @property
    def stored(self) -> bool:
        """Whether the head reads vectors as an index holds them: `concat` without `unit` needs their lengths."""
        return self.unit or self.head == "dot"

    def pooled(self, dim: int) -> int:
        """Numbers of the pooled states, of `dim` numbers a layer."""
        return dim * (self.layers if self.combine == "concat" else 1)


def read_shape(folder: Path) -> DseShape:
    """The shape of a folder; BadInput for a folder of another kind."""
    told: dict[str, Any] = read_json(folder / "retr.json", missing={}).get("dse", {})
    if told.get("kind") != "dse":
        raise BadInput(
            f"{folder} is no Distilled Sentence Embedding: its retr.json has no table 'dse'. Give the folder that "
            "`retr distill` wrote with the method dse."
        )
    table = {name: value for name, value in told.items() if name not in ("kind", "format")}
    return settings_from(DseShape, table, f"{folder / 'retr.json'}: dse")

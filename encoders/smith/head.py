"""From blocks' vectors to a document's, without torch: the twin of `trainable.smith.DocumentModule`."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np

from retr.encoders.running.pooling import unit
from retr.encoders.smith.settings import SmithSettings
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged

EPSILON = 1e-5
OF_LAYER = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
_erf = np.vectorize(erf, otypes=[np.float32])


@dataclass(frozen=True, slots=True, eq=False)
class DocumentHead:
    """`parts` by their names in the file; see `trainable.smith.DocumentModule` for what they are."""

    settings: SmithSettings
    parts: Mapping[str, Floats]

    def __post_init__(self) -> None:
        """Refuse a file that does not hold what the settings say."""
        layers = [f"layers.layers.{row}" for row in range(self.settings.layers)]
        wanted = {"positions", *(f"{name}.{kind}" for name in ("block", "norm", "out") for kind in ("weight", "bias"))}
        for layer in layers:
            wanted |= {f"{layer}.self_attn.{name}" for name in OF_LAYER}
            wanted |= {f"{layer}.{name}.{kind}" for name in ("linear1", "linear2", "norm1", "norm2")
                       for kind in ("weight", "bias")}  # fmt: skip
        absent = sorted(wanted - set(self.parts))
        if absent or len(self.parts["positions"]) != self.settings.blocks:
            raise Damaged(f"The smith weights lack {absent or 'positions of all blocks'}. Get the folder again.")

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return len(self.parts["out.bias"])

    def __call__(self, first: Floats) -> Floats:
        """A document's vector [dim] of unit length, of its blocks' first states [blocks, dim]."""
        blocks = np.tanh(self._linear("block", first))
        x = self._norm("norm", blocks + self.parts["positions"][: len(blocks)])
        for row in range(self.settings.layers):
            layer = f"layers.layers.{row}"
            x = self._norm(f"{layer}.norm1", x + self._attend(f"{layer}.self_attn", x))
            wide = self._linear(f"{layer}.linear1", x)
            wide = wide * (0.5 * (1 + _erf(wide / np.float32(sqrt(2)))))
            x = self._norm(f"{layer}.norm2", x + self._linear(f"{layer}.linear2", wide))
        found = x[0]
        if self.settings.combine != "normal":
            found = np.concatenate([found, blocks.sum(0) if self.settings.combine == "sum_concat" else blocks.mean(0)])
        return np.asarray(unit(self._linear("out", found)[None])[0])

    def _linear(self, name: str, x: Floats) -> Floats:
        return np.asarray(x @ self.parts[f"{name}.weight"].T + self.parts[f"{name}.bias"], np.float32)

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
        return np.asarray(centred / spread * self.parts[f"{name}.weight"] + self.parts[f"{name}.bias"], np.float32)

    def _attend(self, name: str, x: Floats) -> Floats:
        both = x @ self.parts[f"{name}.in_proj_weight"].T + self.parts[f"{name}.in_proj_bias"]
        heads = self.settings.heads_of(x.shape[1])
        query, key, value = (part.reshape(len(x), heads, -1).swapaxes(0, 1) for part in np.split(both, 3, axis=1))
        scores = query @ key.swapaxes(1, 2) / np.float32(sqrt(query.shape[2]))
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (shares / shares.sum(axis=-1, keepdims=True)) @ value
        return self._linear(f"{name}.out_proj", mixed.swapaxes(0, 1).reshape(len(x), -1))

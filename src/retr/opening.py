"""Where folders and encoders meet: `retr.create` and `retr.open` load the encoder that a collection names."""

from pathlib import Path
from typing import TYPE_CHECKING

from retr.encoders import load_encoder, load_scorer

if TYPE_CHECKING:
    from retr.index.collection import Collection
    from retr.index.dense.gpu import Device
    from retr.index.settings import CollectionSettings
    from retr.retrieval.protocols import Encoder

__all__ = ["DEFAULT_ENCODER", "create", "load_encoder", "load_scorer", "open"]

DEFAULT_ENCODER = "all-MiniLM-L6-v2"


def create(
    path: str | Path,
    *,
    encoder: "str | Encoder | None" = DEFAULT_ENCODER,
    settings: "CollectionSettings | None" = None,
) -> "Collection":
    """A new collection in a new or empty folder; `encoder` is a name, a folder, `kind=source`, an object, or None."""
    from retr.index.collection import Collection

    if isinstance(encoder, str):
        return Collection.create(path, encoder=load_encoder(encoder), spec=encoder, settings=settings)
    return Collection.create(path, encoder=encoder, settings=settings)


def open(
    path: str | Path, *, encoder: "str | Encoder | None" = None, device: "str | Device | None" = None
) -> "Collection":
    """The collection in a folder. Its encoder is loaded by name when first needed, unless one is given.

    `device` is `cpu`, `cuda`, `cuda:0`, `cuda:0,1`, or a `Device`: where vectors are searched.
    """
    from retr.index.collection import Collection
    from retr.index.dense.gpu import Device

    chosen = Device.parse(device) if isinstance(device, str) else device
    if encoder is None:
        return Collection.open(path, load=load_encoder, device=chosen)
    if isinstance(encoder, str):
        return Collection.open(path, load=lambda _: load_encoder(encoder), device=chosen)
    return Collection.open(path, load=lambda _: encoder, device=chosen)

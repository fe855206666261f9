"""Where folders and encoders meet: `retr.create` and `retr.open` load the encoder that a collection names."""

from pathlib import Path
from typing import TYPE_CHECKING

from retr.encoders import load_encoder, load_scorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from retr.index.collection import Collection
    from retr.index.dense.gpu import Device
    from retr.index.settings import CollectionSettings
    from retr.retrieval.protocols import Encoder, Scorer

__all__ = ["DEFAULT_ENCODER", "create", "load_encoder", "load_reranker", "load_scorer", "open"]

DEFAULT_ENCODER = "all-MiniLM-L6-v2"


def create(
    path: str | Path,
    *,
    encoder: "str | Encoder | None" = DEFAULT_ENCODER,
    late: "str | Encoder | None" = None,
    settings: "CollectionSettings | None" = None,
) -> "Collection":
    """A new collection in a new or empty folder, or at the address of a store, such as postgresql://host/database.

    `encoder` is a name, a folder, `kind=source`, an object, or None.

    `late` is a late-interaction encoder beside it; alone, such a one is given as `encoder`.
    """
    from retr.index.writing.creation import Named

    named = [None if one is None else Named(*_named(one)) for one in (encoder, late)]
    main, beside = named if encoder is not None else (named[1], None)
    made, spec = (None, "") if main is None else (main.encoder, main.spec)
    return kept_by(path).create(path, encoder=made, spec=spec, late=beside, settings=settings)


def _named(encoder: "str | Encoder") -> "tuple[Encoder, str]":
    return (load_encoder(encoder), encoder) if isinstance(encoder, str) else (encoder, "")


def open(
    path: str | Path,
    *,
    encoder: "str | Encoder | None" = None,
    late: "str | Encoder | None" = None,
    device: "str | Device | None" = None,
) -> "Collection":
    """The collection in a folder, or at an address such as postgresql://host/database?collection=name.

    Its encoder is loaded by name when first needed, unless one is given.

    `late` is the late encoder that stands beside it, where there is one.
    `device` is `cpu`, `cuda`, `cuda:0`, `cuda:0,1`, or a `Device`: where vectors are searched.
    """
    from retr.index.dense.gpu import Device

    chosen = Device.parse(device) if isinstance(device, str) else device
    return kept_by(path).open(path, load=_loader(encoder), late=_loader(late), device=chosen)


def load_reranker(spec: str) -> "Scorer | str":
    """What `rerank` takes: `late` and `late:SCORING`, the tokens in the index, as they are; else `load_scorer`'s."""
    from retr.index.token_scoring import by_stored_tokens

    return spec if by_stored_tokens(spec) else load_scorer(spec)


def kept_by(path: str | Path) -> "type[Collection]":
    """The kind of collection that is kept at a path, or at the address of a store."""
    from retr.index.collection import Collection
    from retr.index.stores import is_store

    if not is_store(path):
        return Collection
    from retr.index.stores.collection import StoreCollection

    return StoreCollection


def _loader(given: "str | Encoder | None") -> "Callable[[str], Encoder]":
    """What loads an encoder by its spec: the given one, whatever the spec."""
    if given is None:
        return load_encoder
    return lambda _: load_encoder(given) if isinstance(given, str) else given

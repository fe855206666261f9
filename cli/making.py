"""What `retr index` makes where there is no index yet, and whether one that is there is what was asked for."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retr.index.collection import Collection
    from retr.index.disk.manifest import Manifest
    from retr.index.settings import CollectionSettings

_VECTORS = ("kind", "storage", "dim", "recall")
_CHANGEABLE = ("kind", "storage", "recall")
"""What `retr compact` changes in an index that is there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of the index itself; None where it says nothing."""

    encoder: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    language: str | None = None
    kind: str | None = None
    storage: str | None = None
    dim: int | None = None
    recall: float | None = None
    late: str | None = None
    bits: int | None = None

    def given(self) -> dict[str, Any]:
        """The names and values of what was said."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None}


def opened(home: Path | str, asked: Asked) -> "Collection":
    """The collection in a folder or store, made now if there is none; what is asked for must agree with what it is."""
    from retr.opening import open

    if _is_there(home):
        collection = open(home)
        _check_same(collection, asked)
        return collection
    return _create(home, asked)


def reads_images(home: Path | str, asked: Asked) -> bool:
    """Whether images are documents of the collection that is there, or of the one that will be made."""
    from retr.encoders import reads_images as reads
    from retr.opening import open

    if _is_there(home):
        return any(facts.reads_images for facts in open(home).manifest.encoders)
    return any(reads(spec) for spec in (asked.encoder, asked.late) if spec is not None and spec != "none")


def _is_there(home: Path | str) -> bool:
    """Whether there is an index in a folder or store."""
    from retr.index.disk.manifest import holds_index
    from retr.index.stores import connect

    return holds_index(home) if isinstance(home, Path) else connect(home).exists()


def _create(home: Path | str, asked: Asked) -> "Collection":
    from retr.opening import DEFAULT_ENCODER, create
    from retr.retrieval.errors import BadInput

    lexical = asked.encoder == "none"
    vectors = [name for name in _VECTORS if name in asked.given()]
    if lexical and vectors:
        raise BadInput(f"--encoder none makes no vectors, so --{vectors[0]} has no meaning with it. Leave one out.")
    encoder = None if lexical else asked.encoder or DEFAULT_ENCODER
    return create(home, encoder=encoder, late=asked.late, settings=_settings(asked.given()))


def _settings(given: dict[str, Any]) -> "CollectionSettings":
    from dataclasses import replace

    from retr.index.dense.settings import DenseSettings
    from retr.index.late.settings import LateSettings
    from retr.index.settings import CollectionSettings
    from retr.retrieval.chunking import ChunkSettings

    chunk = ChunkSettings(max_tokens=given.get("chunk_tokens"))
    if "chunk_overlap" in given:
        chunk = replace(chunk, overlap=given["chunk_overlap"])
    dense = replace(DenseSettings(), **{name: given[name] for name in _VECTORS if name in given})
    late = LateSettings(bits=given["bits"]) if "bits" in given else LateSettings()
    settings = CollectionSettings(chunk=chunk, dense=dense, late=late)
    return replace(settings, language=given["language"]) if "language" in given else settings


def _check_same(collection: "Collection", asked: Asked) -> None:
    from retr.retrieval.errors import Mismatch

    kept, where = _kept(collection.manifest), collection.home
    for name, value in asked.given().items():
        if value == kept[name]:
            continue
        remedy = "make a new index with another --index."
        if name in _CHANGEABLE and collection.manifest.encoder is not None:
            remedy = f"change it with: retr compact --{name} {value} --index {where}"
        flag = f"--{name.replace('_', '-')}"
        raise Mismatch(f"The index {where!r} has {flag} {kept[name]}, not {value}. Leave the option out, or {remedy}")


def _kept(manifest: "Manifest") -> dict[str, Any]:
    """What an index that is there was made with, by the names of `Asked`."""
    chunk, encoder, late = manifest.settings["chunk"], manifest.encoder, manifest.late
    specs = [facts.spec for facts in manifest.encoders]
    kept: dict[str, Any] = {
        "encoder": specs[0] if specs else "none",
        "late": "none" if encoder is None or late is None else late.spec,
        "bits": "none" if late is None else manifest.late_settings.bits,
        "chunk_tokens": chunk["max_tokens"],
        "chunk_overlap": chunk["overlap"],
        "language": manifest.settings["language"],
    }
    if encoder is None:
        return kept | dict.fromkeys(_VECTORS, "none")
    dense = manifest.dense
    return kept | {"kind": dense.kind, "storage": dense.storage, "dim": manifest.dim, "recall": dense.recall}

"""What one generation of an index folder holds, and the pointer to the live one."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from retr.index.dense.settings import DenseSettings
from retr.index.disk.formats import FORMAT, to_current
from retr.index.disk.fsio import Disk, FileFacts
from retr.index.late.settings import LateSettings
from retr.retrieval.errors import BadInput, Damaged, NotFound

CURRENT = "CURRENT"
_FOLDER = re.compile(r"(segments|lexical)/\d+")
_NAME = re.compile(r"manifest-(\d{6,})\.json")


@dataclass(frozen=True, slots=True)
class Segment:
    """Documents and passages written together; their numbers and rows follow on from the segment before.

    A row is a place in one generation and moves when segments are merged; a passage's key is its own for ever and
    rises with the row. `first_key` is given where the keys have no gap; else they stand in a file. `dense` says how the
    vectors are stored and indexed, empty is plain float32; `late` how token vectors are, empty where there are none.
    """

    name: str
    first_document: int
    documents: int
    first_row: int
    rows: int
    files: Mapping[str, FileFacts]
    dense: Mapping[str, Any] = field(default_factory=dict)
    first_key: int | None = None
    late: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """An encoder that an index was made with. `golden` is one text's vector, to prove that it still encodes the same.

    Of a late encoder, `dim` is a token vector's, and `golden` the mean of the text's token vectors.
    """

    spec: str
    fingerprint: str
    dim: int
    similarity: str
    describe: Mapping[str, Any] = field(default_factory=dict)
    golden: tuple[float, ...] = ()

    @property
    def reads_images(self) -> bool:
        """Whether it reads images as well as texts."""
        return "images" in self.describe.get("reads", ())


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation. Immutable; a commit writes the next.

    `encoder` gives one vector a passage and `late` one a token; a collection may have either, both or none.
    """

    generation: int
    encoder: EncoderFacts | None
    settings: Mapping[str, Any]
    created: str
    segments: tuple[Segment, ...] = ()
    lexical: Mapping[str, FileFacts] = field(default_factory=dict)
    lexical_folder: str = ""
    deletes: Mapping[str, FileFacts] = field(default_factory=dict)
    live_documents: int = 0
    live_passages: int = 0
    next_key: int = 0
    next_name: int = 1
    written_by: str = ""
    late: EncoderFacts | None = None

    @property
    def name(self) -> str:
        """The manifest's file name."""
        return manifest_name(self.generation)

    @property
    def dense(self) -> DenseSettings:
        """How new segments store and index their vectors."""
        return DenseSettings(**self.settings.get("dense", {}))

    @property
    def late_settings(self) -> LateSettings:
        """How token vectors are coded."""
        return LateSettings(**self.settings.get("late", {}))

    @property
    def encoders(self) -> tuple[EncoderFacts, ...]:
        """All encoders it was made with; the first gives the vectors that are searched unless asked otherwise."""
        return tuple(facts for facts in (self.encoder, self.late) if facts is not None)

    @property
    def without_vectors(self) -> str:
        """Why there are no vectors of whole passages, where there are none."""
        why = "it was made with --encoder none" if self.late is None else f"{self.late.spec} gives those of tokens"
        return f"This collection has no vectors of passages: {why}."

    @property
    def dim(self) -> int | None:
        """Numbers in a stored vector: the encoder's, or the first so many of them."""
        if self.encoder is None:
            return None
        return self.dense.dim or self.encoder.dim

    @property
    def next_document(self) -> int:
        """One past the last document number; dead ones count."""
        return sum(segment.documents for segment in self.segments)

    @property
    def next_row(self) -> int:
        """One past the last row; dead ones count."""
        return sum(segment.rows for segment in self.segments)

    def files(self) -> dict[str, FileFacts]:
        """Every file of this generation by its path below the index folder."""
        named = {f"segments/{s.name}/{name}": facts for s in self.segments for name, facts in s.files.items()}
        named |= {f"{self.lexical_folder}/{name}": facts for name, facts in self.lexical.items()}
        return named | dict(self.deletes)

    def same_as(self, other: "Manifest") -> bool:
        """Whether it is the same generation of the same index, and not that of one put in its place."""
        mine, others = ([one.fingerprint for one in each.encoders] for each in (self, other))
        return (self.generation, mine, self.files()) == (other.generation, others, other.files())

    def to_json(self) -> bytes:
        """The bytes that are written."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, indent=1).encode()

    def following(self, **changes: Any) -> "Manifest":
        """The next generation, with `changes`."""
        return replace(self, generation=self.generation + 1, **changes)


def placed(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """The segments with their first documents and rows counted through from 0."""
    found: list[Segment] = []
    document = row = 0
    for segment in segments:
        found.append(replace(segment, first_document=document, first_row=row))
        document, row = document + segment.documents, row + segment.rows
    return tuple(found)


def manifest_name(generation: int) -> str:
    """Such as manifest-000007.json."""
    return f"manifest-{generation:06d}.json"


def generations_in(folder: Path) -> list[int]:
    """The generations whose manifests lie in the folder, rising."""
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def read_current(folder: Path) -> Manifest:
    """The live manifest. NotFound where there is no index, Damaged where there was one."""
    try:
        words = (folder / CURRENT).read_text("ascii").split()
    except (FileNotFoundError, NotADirectoryError):
        raise _no_current(folder) from None
    except UnicodeDecodeError:
        words = []
    if len(words) != 2 or not _NAME.fullmatch(words[0]):
        raise Damaged(f"{str(folder / CURRENT)!r} does not name a manifest. Restore the folder from a copy.")
    return read_manifest(folder, words[0], sha256=words[1])


def _no_current(folder: Path) -> NotFound | Damaged:
    if holds_index(folder):
        return Damaged(
            f"The index {str(folder)!r} has lost its {CURRENT} file; its data is still there. "
            f"Restore {CURRENT} from a copy."
        )
    if folder.exists() and not folder.is_dir():
        return NotFound(f"{str(folder)!r} is a file, not an index folder. Give the folder that `retr index` wrote.")
    return NotFound(f"No index at {str(folder)!r}. Make one with: retr index SOURCE --index {folder}")


def read_manifest(folder: Path, name: str, *, sha256: str | None = None) -> Manifest:
    """One manifest by its file name, its hash checked when given."""
    path = folder / name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{str(path)!r} is missing, though {CURRENT} names it. Restore the folder from a copy.") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise Damaged(f"{str(path)!r} is not what was written: its SHA-256 differs. Restore the folder from a copy.")
    try:
        return _from_json(json.loads(data), path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(
            f"{str(path)!r} cannot be read as a manifest ({error}). Restore the folder from a copy."
        ) from None


def _from_json(table: dict[str, Any], path: Path) -> Manifest:
    table = to_current(table, path)
    encoder, late = table.pop("encoder"), table.pop("late", None)
    segments = [Segment(**{**one, "files": _facts(one["files"])}) for one in table.pop("segments")]
    for folder in (*(f"segments/{segment.name}" for segment in segments), table["lexical_folder"] or "lexical/0"):
        if not _FOLDER.fullmatch(folder):
            raise ValueError(f"the folder name {folder!r} is not one that retr gives")
    return Manifest(
        **{**table, "lexical": _facts(table["lexical"]), "deletes": _facts(table["deletes"])},
        encoder=_encoder(encoder),
        late=_encoder(late),
        segments=tuple(segments),
    )


def _encoder(table: Mapping[str, Any] | None) -> EncoderFacts | None:
    return EncoderFacts(**{**table, "golden": tuple(table["golden"])}) if table else None


def _facts(table: Mapping[str, Mapping[str, Any]]) -> dict[str, FileFacts]:
    for name in table:
        if name.startswith("/") or ".." in Path(name).parts:
            raise ValueError(f"the file name {name!r} leads out of the folder")
    return {name: FileFacts(**facts) for name, facts in table.items()}


def write_current(disk: Disk, folder: Path, manifest: Manifest) -> None:
    """Commit: the manifest durable first, then the pointer switched by one rename, then the folder durable."""
    publish(disk, folder, manifest.name, manifest.to_json())


def publish(disk: Disk, folder: Path, name: str, data: bytes) -> None:
    """Write a manifest's bytes under its name, and switch the pointer to it."""
    path = folder / name
    disk.write(path, data)
    disk.sync_file(path)
    disk.sync_folder(folder)
    pointer = folder / f"{CURRENT}.tmp"
    disk.write(pointer, f"{name} {hashlib.sha256(data).hexdigest()}\n".encode("ascii"))
    disk.sync_file(pointer)
    disk.rename(pointer, folder / CURRENT)
    disk.sync_folder(folder)


def holds_index(folder: Path) -> bool:
    """Whether an index lies in the folder, sound or damaged; not what a killed `create` has left of an empty one."""
    if not folder.is_dir():
        return False
    return (folder / CURRENT).exists() or (folder / "segments").exists() or generations_in(folder) not in ([], [1])


def check_new_folder(folder: Path) -> None:
    """BadInput when an index cannot be made here without touching what lies there."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{str(folder)!r} is a file. Give a new or empty folder.")
    if not folder.is_dir():
        return
    if holds_index(folder):
        raise BadInput(f"{str(folder)!r} already holds an index. Open it, or choose a new or empty folder.")
    if any(path.name not in ("LOCK", f"{CURRENT}.tmp", manifest_name(1)) for path in folder.iterdir()):
        raise BadInput(f"The folder {str(folder)!r} holds other files and no index. Give a new or empty folder.")

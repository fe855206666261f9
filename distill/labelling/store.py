"""The folder of labels: parts in Parquet that are whole or not there, and a file that says which teacher they are of.

labels.json           what the labels are, the teachers and their fingerprints, the data; replaced by one rename
parts/000000.parquet  id (32 hexadecimal digits) and values (float32 [width]); immutable, its metadata the facts
LOCK                  held by the one run that writes
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retr.encoders.bulk.folder import locked, written
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound
from retr.retrieval.version import VERSION

FORMAT = "retr-labels-1"
FACTS, PARTS = "labels.json", "parts"
ID = "S32"
SAME = ("what", "fingerprint", "scale", "width", "symmetric", "listed")

What = Literal["scores", "vectors"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the labels are. `listed`: each depends on the other texts of its question, and its id holds them too.

    `data` are the sha256 of the files that were labelled, by name.
    """

    what: What
    teacher: str
    fingerprint: str
    width: int
    scale: str = "raw"
    symmetric: bool = False
    listed: bool = False
    data: Mapping[str, str] = field(default_factory=dict)
    retr: str = VERSION

    def check_same(self, asked: "Facts", where: Path) -> None:
        """Mismatch where other labels are asked for than the folder holds."""
        for name in SAME:
            here, there = getattr(self, name), getattr(asked, name)
            if here != there:
                held = f"labels of the teacher {self.teacher!r}" if name == "fingerprint" else f"{name} {here}"
                wanted = f"of {asked.teacher!r}, whose fingerprint is another" if name == "fingerprint" else str(there)
                raise Mismatch(
                    f"{str(where)!r} holds {held}, not {wanted}. Keep these labels in another folder, or remove it."
                )


class Labels:
    """Labels to look up by id. They are read once; memory holds the ids, a file without a name the values."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.facts = folder, read_facts(folder)
        ids, values = _read_parts(folder, self.facts.width)
        order = np.argsort(ids, kind="stable")
        self._ids = ids[order]
        twice = self._ids[1:][self._ids[1:] == self._ids[:-1]]
        if len(twice):
            raise Damaged(f"{folder} holds the label {twice[0].decode()} twice. Remove the folder, and label again.")
        with tempfile.TemporaryFile() as file:  # the map outlives it
            self._values = np.memmap(file, np.float32, "w+", shape=(max(len(ids), 1), values.shape[1]))
        self._values[: len(ids)] = values[order]
        digest = sha256(self._ids.tobytes())
        digest.update(self._values.tobytes())
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        """How many."""
        return len(self._ids)

    def __repr__(self) -> str:
        """What decides a training run: the same labels say the same, wherever they are and in whatever order."""
        return f"Labels({self.facts.what}, {len(self)}, {self.digest})"

    @property
    def width(self) -> int:
        """Numbers a label."""
        return self.facts.width

    def values(self, ids: Sequence[str]) -> Floats:
        """float32 [ids, width], in order; NotFound where there is no label of an id."""
        asked: NDArray[Any] = np.array(list(ids), ID)
        places = np.minimum(np.searchsorted(self._ids, asked), max(len(self._ids) - 1, 0))
        missing = self._ids[places] != asked if len(self._ids) else np.ones(len(asked), bool)
        if missing.any():
            first = asked[int(np.argmax(missing))].decode()
            raise NotFound(
                f"{self.folder} has no label of {int(missing.sum())} of {len(asked)} ids, such as {first}. Label the "
                "rows that are trained on, with the same columns."
            )
        return np.asarray(self._values[places])


class Writer:
    """One run's hold on a folder: which ids it has, and new parts."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        import duckdb

        self.folder, self.facts = folder, facts
        self._known = duckdb.connect(":memory:")
        self._known.execute("CREATE TABLE known (id VARCHAR)")
        self._parts = 0
        for path in _parts(folder):
            self._remember(path)

    def missing(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that no part holds."""
        query = "SELECT DISTINCT id FROM (SELECT unnest(?) AS id) AS asked ANTI JOIN known USING (id)"
        return {row[0] for row in self._known.execute(query, [list(ids)]).fetchall()}

    def add(self, labels: Mapping[str, Floats]) -> None:
        """One more part, durable when this returns. BadInput for what is not finite."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not labels:
            return
        values = np.stack(list(labels.values())).astype(np.float32)
        if not np.isfinite(values).all():
            raise BadInput(f"The teacher {self.facts.teacher} gave NaN or infinity as a label. Check its weights.")
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), self.facts.width)
        table = pa.table({"id": pa.array(list(labels)), "values": column})
        table = table.replace_schema_metadata({"retr": json.dumps(asdict(self.facts))})
        path = self.folder / PARTS / f"{self._parts:06d}.parquet"
        with written(path) as file:
            pq.write_table(table, file)
        self._remember(path)

    def finish(self, data: Mapping[str, str]) -> None:
        """Say which data was labelled, beside what was before."""
        write_facts(self.folder, replace(self.facts, data={**self.facts.data, **data}))

    def close(self) -> None:
        """Let go of the ids."""
        self._known.close()

    def _remember(self, path: Path) -> None:
        import duckdb

        try:
            self._known.execute("INSERT INTO known SELECT id FROM read_parquet(?)", [str(path)])
        except duckdb.Error:
            raise _damaged(path) from None
        self._parts += 1


@contextmanager
def writing(folder: Path, asked: Facts) -> Iterator[Writer]:
    """Hold the folder, made now where there is none; Mismatch where it holds labels of another teacher."""
    if not folder.absolute().parent.is_dir():
        raise NotFound(f"There is no folder {str(folder.parent)!r} for {folder.name!r} to be in. Make it first.")
    if folder.exists() and not (folder / FACTS).exists() and (not folder.is_dir() or _strange(folder)):
        raise BadInput(f"{str(folder)!r} holds something other than labels. Give a new or empty folder for them.")
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not (folder / FACTS).exists():
            write_facts(folder, asked)
        facts = read_facts(folder)
        facts.check_same(asked, folder)
        writer = Writer(folder, facts)
        try:
            yield writer
        finally:
            writer.close()


def read_facts(folder: Path) -> Facts:
    """What the folder holds; NotFound without labels, Damaged where the file is none."""
    path = folder / FACTS
    try:
        content = json.loads(path.read_bytes())
        if content.pop("format") != FORMAT:
            raise ValueError
        return Facts(**content)
    except FileNotFoundError:
        raise NotFound(f"No labels at {str(folder)!r}: it has no {FACTS}. Label the rows first.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Damaged(f"{str(path)!r} says nothing of labels. Remove the folder, and label again.") from None


def write_facts(folder: Path, facts: Facts) -> None:
    """Replace the file in one step."""
    content = {"format": FORMAT, **{one.name: getattr(facts, one.name) for one in fields(facts)}}
    with written(folder / FACTS) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _parts(folder: Path) -> list[Path]:
    return sorted((folder / PARTS).glob("[0-9]*.parquet"))


def _strange(folder: Path) -> bool:
    return any(path.name not in (PARTS, "LOCK") and not path.name.endswith(".unfinished") for path in folder.iterdir())


def _read_parts(folder: Path, width: int) -> tuple[NDArray[Any], Floats]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids: list[NDArray[Any]] = [np.empty(0, ID)]
    values: list[Floats] = [np.empty((0, width), np.float32)]
    for path in _parts(folder):
        try:
            table = pq.read_table(path)
            ids.append(np.array(table["id"].to_pylist(), ID))
            column: Any = table["values"].combine_chunks()
            values.append(column.flatten().to_numpy().reshape(-1, width))
        except (pa.ArrowException, OSError, KeyError, ValueError):
            raise _damaged(path) from None
    return np.concatenate(ids), np.concatenate(values)


def _damaged(path: Path) -> Damaged:
    return Damaged(f"{str(path)!r} is no whole part of labels. Remove it, and run the same command again.")

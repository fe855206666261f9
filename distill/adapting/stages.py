"""The folder beside the new encoder in which an adaptation is done: each stage's files are whole or not there."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Any

from retr.distill.rows_file import new_file
from retr.encoders.bulk.folder import LOCK, written
from retr.retrieval.errors import Mismatch

Report = Callable[[str, int, int], None]
"""What is counted, how many are done, of how many."""
RUN = "run.json"
FIRST = "material"
"""The stage without which nothing is done."""


@dataclass(frozen=True, slots=True)
class Stages:
    """OUT.adapting/: what was asked for, and what came of each stage that is done.

    run.json        what was asked for; another run in the same folder is a Mismatch
    material/       documents.jsonl, pairs.jsonl, pseudo.jsonl: frozen copies, so that a run goes on with the same
    before/ after/  the documents as collections of the encoder before and after; gone when all is done
    rows.jsonl      pairs with negatives; labels/ the teachers' scores; model/ the trained encoder
    cycle.cycles/   with the method trans-encoder: each phase's labels and model; cycle/ what is kept of them
    STAGE.json      written last: the stage is done, and this came of it
    """

    folder: Path

    def check_same(self, asked: Mapping[str, Any]) -> None:
        """Write down what is asked for; Mismatch where the folder holds a run that was asked for something else.

        One that came to nothing, say of a mistyped source, is forgotten.
        """
        path, wanted = self.folder / RUN, dict(asked)
        if path.exists() and not (self.folder / f"{FIRST}.json").exists() and read_json(path) != wanted:
            self._clear()
        if not path.exists():
            write_json(path, wanted)
        check_asked(read_json(path), wanted, self.folder)

    def _clear(self) -> None:
        for one in self.folder.iterdir():
            if one.is_dir():
                rmtree(one)
            elif one.name != LOCK:
                one.unlink()

    def done(self, stage: str, work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What came of a stage; it is worked off where it was not yet."""
        path = self.folder / f"{stage}.json"
        if not path.exists():
            write_json(path, work())
        return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """The table of a file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def digested(asked: Mapping[str, Any], most: int = 2000) -> dict[str, Any]:
    """As JSON gives it back, with the SHA-256 in the place of what is long."""
    found = {}
    for name, value in json.loads(json.dumps(asked)).items():
        text = json.dumps(value, sort_keys=True)
        found[name] = value if len(text) <= most else f"sha256:{sha256(text.encode()).hexdigest()}"
    return found


def check_asked(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Mismatch, naming the first thing that differs."""
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise Mismatch(
                f"{str(folder)!r} is of another run: its {name} is {_short(found.get(name))}, not "
                f"{_short(wanted[name])}. Go on with that one's command, or remove the folder."
            )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A whole file or none."""
    with written(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))


def write_lines(path: Path, lines: Any) -> int:
    """JSON lines, a whole file or none; how many."""
    count = 0
    with new_file(path) as file:
        for line in lines:
            file.write(json.dumps(line).encode() + b"\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def read_lines(path: Path) -> Any:
    """The values of a file of JSON lines, one by one."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _short(value: Any, most: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"

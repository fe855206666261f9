"""Run one retr command in this process and write down what each of its stages took, imports apart.

    python search_probe.py OUT.json search QUERY --index DIR --json

Stages are timed exclusively: what a stage calls is not counted twice, and an import is an import, whoever asks for it.
Clocks start at this file's first statement; the caller knows when it started the process.
"""

# ruff: noqa: E402 (the clock must be read before anything is imported)

import time

FIRST_WALL, FIRST_CPU = time.monotonic(), time.process_time()

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STAGES = {
    "opening the index": ("retr.index.snapshot:open_snapshot",),
    "loading the encoder": ("retr.encoders:load_encoder",),
    "encoding the query": ("retr.encoders.bi:BiEncoder.encode_queries",),
    "searching": ("retr.index.searching:Searcher.search",),
    "fetching texts": ("retr.index.snapshot:Snapshot.places",),
    "printing": ("retr.cli.output:emit_json",),
}
IMPORTS, REST = "imports", "the rest of the command"


class Clock:
    """Wall and CPU seconds by stage; only the innermost stage's clock runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._open = [REST]
        self._wall, self._cpu = FIRST_WALL, FIRST_CPU

    def switch(self) -> None:
        """Book the time since the last switch on the stage that is open."""
        wall, cpu = time.monotonic(), time.process_time()
        booked = self.seconds.setdefault(self._open[-1], [0.0, 0.0])
        booked[0] += wall - self._wall
        booked[1] += cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Everything inside is booked on `name`, except inner stages."""
        self.switch()
        self._open.append(name)
        try:
            yield
        finally:
            self.switch()
            self._open.pop()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return timed


def watch(clock: Clock) -> None:
    """Time the loading of modules, and put timers into those of STAGES as soon as they are loaded."""
    machinery: Any = sys.modules["_frozen_importlib"]
    load = clock.around(IMPORTS, machinery._find_and_load)
    waiting = {target: stage for stage, targets in STAGES.items() for target in targets}

    def load_and_watch(*args: Any) -> Any:
        module = load(*args)
        for target in [target for target in waiting if is_loaded(target.partition(":")[0])]:
            put_timer(clock, waiting.pop(target), target)
        return module

    machinery._find_and_load = load_and_watch


def is_loaded(name: str) -> bool:
    """Whether the module has been run to its end."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def put_timer(clock: Clock, stage: str, target: str) -> None:
    """Replace `module:name` or `module:Class.name` by itself with a timer around it. A name that is not there fails."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    holder: Any = sys.modules[module]
    for owner in owners:
        holder = getattr(holder, owner)
    setattr(holder, name, clock.around(stage, getattr(holder, name)))


def main() -> None:
    """Run the command, then write the stages."""
    out, sys.argv = Path(sys.argv[1]), ["retr", *sys.argv[2:]]
    clock = Clock()
    watch(clock)
    from retr.cli import main as command

    code: object = 0
    try:
        command()
    except SystemExit as leaving:
        code = leaving.code
    clock.switch()
    facts = {"first_wall": FIRST_WALL, "first_cpu": FIRST_CPU, "last_wall": time.monotonic(), "stages": clock.seconds}
    out.write_text(json.dumps(facts), encoding="utf-8")
    raise SystemExit(code)


if __name__ == "__main__":
    main()

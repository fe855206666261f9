"""What the time of one warm `retr search` is made of, over an index of about ten thousand passages.

    RETR_DATA=… python bench/search_startup.py

The whole process is timed from outside, beside an empty interpreter and `retr --help`; its stages from inside
(search_probe.py); its imports by `-X importtime`, summed by top-level package.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import recording
import scifact_texts
from measuring import Cost, run, summary
from search_probe import STAGES
from systems import Place, Retr, absolute, default_command, retr_environment
from tables import Table, number

MODES = ("hybrid", "dense", "lexical")
LINE = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)
START, END = "starting the interpreter", "ending the process"


def main() -> None:
    """Measure, print, record."""
    args = arguments()
    corpus = scifact_texts.choose(scifact_texts.load(scifact_texts.data_folder()), args.documents, args.seed)
    shutil.rmtree(args.work, ignore_errors=True)
    scifact_texts.write_files(corpus.texts, args.work / "files")
    before = recording.machine()
    retr = Retr("retr", default_command())
    place = Place(args.work / "files", args.work)
    retr.index(place)
    asked = [corpus.queries[id] for id in scifact_texts.pick(corpus.queries, args.repeats, args.seed)]
    retr.again(place, {"0": asked[0]}, "hybrid")
    whole = from_outside(place, asked)
    inside = {mode: [probe(place, text, mode) for text in asked] for mode in MODES}
    check_stages(inside["hybrid"])
    tables = [tabulate_whole(whole), tabulate_stages(inside), tabulate_imports(imported(place, asked[0]))]
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "load_after": recording.machine()["load_1_minute"],
        "versions": {"retr": recording.versions(sys.executable, recording.retr_packages())},
        "info": recording.plain(retr.info(place)),
        "whole": {name: summary(costs) for name, costs in whole.items()},
        "stages": inside,
        "tables": [table.json() for table in tables],
    }
    print("\n\n".join(table.markdown() for table in tables))
    print(recording.record("search-startup", {**result, "caption": caption(result)}, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11, help="searches a mode, each a new process and another query")
    parser.add_argument("--documents", type=int, default=3750, help="SciFact abstracts; each becomes 2 to 3 passages")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "search-startup")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def search_words(place: Place, text: str, mode: str) -> list[str]:
    """The command's words."""
    return ["search", "--index", str(place.index), "--mode", mode, "-k", "10", "--json", "--", text]


def from_outside(place: Place, asked: Sequence[str]) -> dict[str, list[Cost]]:
    """Whole processes, in turn."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    for text in asked:
        commands = {"python -c pass": ["-c", "pass"], "retr --help": ["-m", "retr", "--help"]}
        commands |= {f"retr search, {mode}": ["-m", "retr", *search_words(place, text, mode)] for mode in MODES}
        for name, words in commands.items():
            done = run([sys.executable, *words], cwd=place.folder, env=retr_environment(place.folder))
            costs[name].append(done.cost)
    return costs


def probe(place: Place, text: str, mode: str) -> dict[str, tuple[float, float]]:
    """(wall, CPU) seconds of each stage of one search, from the start of the process to its end."""
    out = place.folder / "probe.json"
    script = str(recording.ROOT / "bench" / "search_probe.py")
    started = time.monotonic()
    done = run(
        [sys.executable, script, str(out), *search_words(place, text, mode)],
        cwd=place.folder,
        env=retr_environment(place.folder),
    )
    ended = started + done.cost.wall_seconds
    facts = json.loads(out.read_text(encoding="utf-8"))
    stages = {name: (wall, cpu) for name, (wall, cpu) in facts["stages"].items()}
    cpu_inside = sum(cpu for _, cpu in stages.values())
    start = (facts["first_wall"] - started, facts["first_cpu"])
    end = (ended - facts["last_wall"], done.cost.cpu_seconds - facts["first_cpu"] - cpu_inside)
    return {START: start, **stages, END: end}


def check_stages(runs: Sequence[dict[str, tuple[float, float]]]) -> None:
    """A stage that a hybrid search never entered means that search_probe.py no longer fits the code."""
    missing = STAGES.keys() - runs[0].keys()
    if missing:
        raise SystemExit(f"search_probe.py saw nothing of: {', '.join(sorted(missing))}. Correct its STAGES.")


def imported(place: Place, text: str) -> dict[str, float]:
    """Milliseconds by top-level package, of one hybrid search under -X importtime (which itself costs a little)."""
    words = [sys.executable, "-X", "importtime", "-m", "retr", *search_words(place, text, "hybrid")]
    found: dict[str, float] = defaultdict(float)
    for microseconds, name in LINE.findall(run(words, cwd=place.folder, env=retr_environment(place.folder)).stderr):
        top = name.partition(".")[0]
        found["standard library" if top in sys.stdlib_module_names else top] += int(microseconds) / 1000
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def tabulate_whole(costs: dict[str, list[Cost]]) -> Table:
    """Whole processes: best and median."""
    rows = []
    for name, found in costs.items():
        facts = summary(found)
        keys = ("wall_best", "wall_median", "cpu_best", "cpu_median")
        rows.append([name, *(number(1000 * facts[key], 0) for key in keys), number(facts["memory_mib"], 0)])
    return Table(["process", "wall ms, best", "median", "CPU ms, best", "median", "MiB"], rows)


def tabulate_stages(inside: dict[str, list[dict[str, tuple[float, float]]]]) -> Table:
    """Median milliseconds of each stage, wall and CPU, by mode."""
    names = list(dict.fromkeys(name for runs in inside.values() for found in runs for name in found if name != END))
    rows = []
    for name in [*names, END]:
        cells = [_median(runs, name, part) for runs in inside.values() for part in (0, 1)]
        rows.append([name, *(number(cell, 1) for cell in cells)])
    return Table(["stage, median ms", *(f"{mode}, {part}" for mode in inside for part in ("wall", "CPU"))], rows)


def _median(runs: Sequence[dict[str, tuple[float, float]]], name: str, part: int) -> float:
    return 1000 * statistics.median(found.get(name, (0.0, 0.0))[part] for found in runs)


def tabulate_imports(found: dict[str, float]) -> Table:
    """The packages that cost a millisecond or more, and the others together."""
    rows = [[name, number(value, 1)] for name, value in found.items() if value >= 1]
    others = sum(value for value in found.values() if value < 1)
    return Table(["imports, by package", "ms"], [*rows, ["others", number(others, 1)]])


def caption(result: dict[str, Any]) -> str:
    """One sentence that says where the numbers come from."""
    machine, info = result["machine"], result["info"]
    return (
        f"An index of {info['passages']:,} passages; {result['args']['repeats']} searches a mode; {machine['cpu']}, "
        f"{machine['cores']} cores; load {machine['load_1_minute']} before, {result['load_after']} after."
    )


if __name__ == "__main__":
    main()

"""Put the newest recorded tables between their markers in docs/benchmarks.md and other guides.

    python bench/report.py [--check]

The part between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` is written from bench/results/NAME-<date>.json.
"""

import argparse
import json
import re
from pathlib import Path

from recording import RESULTS, ROOT
from tables import Table

PAGES = [ROOT / "docs" / f"{name}.md" for name in ("benchmarks", "jobs", "postgres", "scaling")]
BLOCK = re.compile(r"(<!-- bench:(?P<name>[\w-]+) -->\n).*?(<!-- /bench:(?P=name) -->)", re.DOTALL)


def main() -> None:
    """Rewrite the pages, or with --check fail when one is not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when a page is stale")
    check = parser.parse_args().check
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda block: f"{block[1]}{rendered(block['name'])}\n{block[3]}", old)
        if check and new != old:
            raise SystemExit(f"{page.relative_to(ROOT)} is not what the results say. Run: python bench/report.py")
        if not check:
            page.write_text(new, encoding="utf-8")


def rendered(name: str) -> str:
    """Table and caption of the newest result of that name."""
    path = newest(name)
    if path is None:
        return f"No result named {name} has been recorded yet."
    result = json.loads(path.read_text(encoding="utf-8"))
    where = f"Recorded in `bench/results/{path.name}` at commit `{result['commit'][:12]}`."
    versions = [f"Versions, {side}: {_listed(found)}." for side, found in result["versions"].items() if found]
    tables = [Table.read(table).markdown() for table in result["tables"]]
    return "\n\n".join([*tables, result["caption"], where, *versions])


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{package} {number}" for package, number in sorted(versions.items()))


def newest(name: str) -> Path | None:
    """The result with the latest date in its name."""
    found = sorted(RESULTS.glob(f"{name}-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"))
    return found[-1] if found else None


if __name__ == "__main__":
    main()

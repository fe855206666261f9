"""What stands on docs/results.md after the systems: whole tables of one recorded result, and what explains them."""

from collections.abc import Iterator, Mapping
from typing import Any

import results_depth
from tables import Table

WHY = """Each line changes one thing (`python bench/retrieval_why.py`); for BM25, bm25s goes in steps from the page's
settings to retr's."""
BELOW = " The reranked list of TREC DL 2019 has a part of its own below."
PLOT = "retrieval.svg"
Row = Mapping[str, Any]


def parts(results: Mapping[str, Row]) -> Iterator[str]:
    """Those of the results that are there: retrieval, the cross-encoder's weights, then each result with a title."""
    if "retrieval" in results:
        yield from retrieval(results["retrieval"])
    if "cross-folder" in results:
        yield from cross(results["cross-folder"])
    for result in results.values():
        if result.get("title"):
            yield from titled(result)


def retrieval(result: Row) -> Iterator[str]:
    """All sets and systems of bench/retrieval.py, and why some figures differ from those of the sets' pages."""
    every, pages, reasons = (Table.read(table) for table in result["tables"])
    yield "## Every retrieval set"
    yield f"![nDCG@10 of each system on each set, with 95% intervals](results/{PLOT})"
    yield every.markdown()
    yield result["caption"]
    yield f"{recorded(result)} (the file has each row's own); {made_on(result)}"
    yield "### Beside the figures that the sets' pages state"
    yield pages.markdown()
    yield "### Where a figure is more than 0.01 away"
    yield WHY + (BELOW if "depth" in result else "")
    yield reasons.markdown()
    if "depth" in result:
        yield from results_depth.part(result)


def cross(result: Row) -> Iterator[str]:
    """How near the cross-encoder used here is to the file that it was made from."""
    yield "### The cross-encoder's weights"
    yield f"They come from {result['source']}, made into a folder by `bench/cross_folder.py`. {result['caption']}"
    yield Table.read(result["tables"][0]).markdown()
    yield f"{recorded(result)}."


def titled(result: Row) -> Iterator[str]:
    """A section of its own: plot, tables, caption, and where it was recorded."""
    yield f"## {result['title']}"
    if result.get("plot"):
        yield f"![{result['plot_about']}]({result['plot']})"
    yield from (Table.read(table).markdown() for table in result["tables"])
    yield result["caption"]
    yield f"{recorded(result)}; {made_on(result)}"


def recorded(result: Row) -> str:
    """In which file, at which commit."""
    return f"Recorded in `bench/results/{result['file']}` at commit `{result['commit'][:12]}`"


def made_on(result: Row) -> str:
    """Machine and versions."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"]["retr"].items()))
    return f"{machine['cpu']}, {machine['cores']} cores. Versions: {versions}."

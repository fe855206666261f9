"""What stands on docs/results.md after the systems: whole tables of one recorded result, and what explains them."""

from collections.abc import Iterator, Mapping
from typing import Any

from tables import Table

WHY = """Each line changes one thing (`python bench/retrieval_why.py`); for BM25, bm25s goes in steps from the page's
settings to retr's."""
BELOW = " The reranked list of TREC DL 2019 has a part of its own below."
PLOT = "results/retrieval.svg"
RERANKED = "msmarco-dl19-top100"
SCRIPT = (
    "Its project's evaluation script (sentence-transformers, `eval_cross-encoder-trec-dl.py`) reranks the 1,000 "
    "candidates a query that the track hands out (`msmarco-passagetest2019-top1000.tsv`)."
)
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
    yield f"![nDCG@10 of each system on each set, with 95% intervals]({PLOT})"
    yield every.markdown()
    yield result["caption"]
    yield f"{recorded(result)} (the file has each row's own); {made_on(result)}"
    yield "### Beside the figures that the sets' pages state"
    yield pages.markdown()
    yield "### Where a figure is more than 0.01 away"
    yield WHY + (BELOW if "depth" in result else "")
    yield reasons.markdown()
    if "depth" in result:
        yield from candidates(result)


def candidates(result: Row) -> Iterator[str]:
    """Why the reranked list of TREC DL 2019 is not as good as the model card's."""
    depth = result["depth"]
    rows = {row["candidates"]: row for row in depth["rows"]}
    hundred = next(row for name, row in rows.items() if name.endswith("first 100"))
    far = next(row for name, row in rows.items() if "(estimate)" in name)
    page = next(row["page"] for row in result["rows"] if row["system"] == "cross" and row["set"] == RERANKED)
    moved = max(abs(step["value"] - hundred["mean"]) for step in page["steps"])
    beside, line = far["against_100"], depth["extrapolated"]
    yield "### TREC DL 2019: which candidates are reranked"
    yield (
        f"The model card states {page['value']:.3f}. {SCRIPT} Here it is the first 100 of BM25, which the data has: "
        f"{hundred['mean']:.3f}. They hold {100 * hundred['relevant']:.0f}% of the relevant passages, and their best "
        f"order has {hundred['best']:.3f}. Weights, characters and the function of the scores move "
        f"{hundred['mean']:.3f} by {moved:.4f} at most (above). Other candidates move it further:"
    )
    yield Table.read(depth["table"]).markdown()
    yield (
        f"The {depth['far']:,} candidates are not among the data. Which of the other runs' passages BM25 comes to by "
        "then is an estimate: their BM25 scores follow from those that the run states (`bench/retrieval_lucene.py`; "
        f"root mean square residual {depth['residual']['mean']:.3f} on average), the score at rank {depth['far']:,} "
        "from the line through score and logarithm of rank. With them the same reranker has "
        f"{far['mean']:.3f}, {beside['difference']:+.3f} [{beside['low']:+.3f}, {beside['high']:+.3f}] from the first "
        "100. That list lacks what no other run found, right and wrong: it says what more candidates can bring, and does "
        "not measure the card's figure again. A second estimate is the curve over the first "
        f"10, 20, … 100, fitted by a - b · depth^-c (c = {line['power']:.2f}) and carried on to {depth['far']:,}: "
        f"{line['value']:.3f} [{line['low']:.3f}, {line['high']:.3f}]. With other queries like these "
        f"{hundred['mean']:.3f} could be from {hundred['low']:.3f} to {hundred['high']:.3f}. Of MiniLM-L-6 both figures "
        "are published, of 1,000 candidates and of 100 (under Cross-encoder), and differ in the same way."
    )


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

"""Why the reranked list of TREC DL 2019 is not as good as the model card's: the part of docs/results.md about it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tables import Table

RERANKED = "msmarco-dl19-top100"
HUNDRED = "BM25, the first 100"
ESTIMATE = "(estimate)"
PLOT = "candidates.svg"
SCRIPT = (
    "Its project's evaluation script (sentence-transformers, `eval_cross-encoder-trec-dl.py`) reranks the 1,000 "
    "candidates a query that the track hands out (`msmarco-passagetest2019-top1000.tsv`)."
)
Row = Mapping[str, Any]


def part(result: Row) -> Iterator[str]:
    """What was found by bench/retrieval_depth.py, in words, and its table."""
    depth = result["depth"]
    rows = {row["candidates"]: row for row in depth["rows"]}
    hundred, far = rows[HUNDRED], next(row for name, row in rows.items() if ESTIMATE in name)
    page = next(row["page"] for row in result["rows"] if row["system"] == "cross" and row["set"] == RERANKED)
    yield "### TREC DL 2019: which candidates are reranked"
    yield before(hundred, page)
    yield f"![nDCG@10 over how many candidates are reranked, and the best order of them](results/{PLOT})"
    yield Table.read(depth["table"]).markdown()
    yield f"{estimate(depth, far)} {curve(depth)} {beside(hundred)}"


def before(hundred: Row, page: Row) -> str:
    """What is stated, of which candidates, and what is ruled out."""
    moved = max(abs(step["value"] - hundred["mean"]) for step in page["steps"])
    return (
        f"The model card states {page['value']:.3f}. {SCRIPT} Here it is the first 100 of BM25, which the data has: "
        f"{hundred['mean']:.3f}. They hold {100 * hundred['relevant']:.0f}% of the relevant passages, and their best "
        f"order has {hundred['best']:.3f}. Weights, characters and the function of the scores move "
        f"{hundred['mean']:.3f} by {moved:.4f} at most (above). Other candidates move it further:"
    )


def estimate(depth: Row, far: Row) -> str:
    """What BM25's longer list would bring."""
    less = far["against_100"]
    return (
        f"The {depth['far']:,} candidates are not among the data. Which of the other runs' passages BM25 comes to by "
        "then is an estimate: their BM25 scores follow from those that the run states (`bench/retrieval_lucene.py`; "
        f"root mean square residual {depth['residual']['mean']:.3f} on average), the score at rank {depth['far']:,} "
        f"from the line through score and logarithm of rank. With them the same reranker has {far['mean']:.3f}, "
        f"{less['difference']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}] from the first 100. That list lacks what "
        "no other run found, right and wrong: it says what more candidates can bring, and does not measure the card's "
        "figure again."
    )


def curve(depth: Row) -> str:
    """What the figures at smaller depths lead to."""
    line = depth["extrapolated"]
    return (
        f"A second estimate is the curve over the first 10, 20, … 100, fitted by a - b · depth^-c (c = "
        f"{line['power']:.2f}) and carried on to {depth['far']:,}: {line['value']:.3f} "
        f"[{line['low']:.3f}, {line['high']:.3f}]."
    )


def beside(hundred: Row) -> str:
    """The noise of so few queries, and a smaller model of the same makers."""
    return (
        f"With other queries like these {hundred['mean']:.3f} could be from {hundred['low']:.3f} to "
        f"{hundred['high']:.3f}. Of MiniLM-L-6 both figures are published, of 1,000 candidates and of 100 (under "
        "Cross-encoder), and differ in the same way."
    )

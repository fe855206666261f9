"""Why a figure is not the one that a set's page gives: what is different is changed one thing at a time.

    RETR_DATA=… python bench/retrieval_why.py [--sets …] [--cross FOLDER] [--cross-float32 FOLDER]

For BM25, bm25s goes in steps from the page's settings to retr's; where candidates are given, also with the statistics
of each query's own candidates alone. For the cross-encoder: weights, broken characters, the function of its scores, and
which candidates it sees (bench/retrieval_depth.py).
What is found lies in the scratch folder, by set, and `bench/retrieval.py --collect` records it.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import recording
from retrieval_depth import explained, mended
from retrieval_sets import SETS, Loaded, load_set
from retrieval_systems import CROSS, Remembering
from systems import absolute

from retr import load_scorer
from retr.index.lexical.postings import analyzer
from retr.retrieval.evaluation.ranking import evaluate
from retr.retrieval.evaluation.searching import rerank_run
from retr.retrieval.records import Document
from retr.retrieval.runs import Run, ranked

Tokens = Callable[[Sequence[str]], list[list[str]]]
Step = tuple[str, Tokens, float, float]
PAGES_K1_B = {"medquad": (1.2, 0.75), "cosqa": (1.2, 0.75)}
"""1.5 and 0.75 where a page does not state them."""

OWN_K1_B = (1.2, 0.75)
DEPTH = 100


def main() -> None:
    """Measure and write, set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, metavar="SET")
    parser.add_argument("--cross", type=absolute, default=CROSS)
    parser.add_argument("--cross-float32", type=absolute, default=recording.ROOT / "bench" / "scratch" / "cross")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "retrieval")
    args = parser.parse_args()
    for name in args.sets or [name for name, one in SETS.items() if one.figures]:
        data = load_set(name)
        found = reranking(data, args) if SETS[name].given else {"bm25": steps_to_retr(name, data)}
        for system in [system for system in SETS[name].figures if system in found]:
            for step in found[system]:
                print(f"{name} {system}: {step['step']}: {scored_as(step)}", flush=True)
        path = args.work / "why" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**found, **recording.commit()}), encoding="utf-8")


def scored(run: Run, data: Loaded) -> dict[str, float]:
    """The means that pages state."""
    return dict(evaluate(run, data.qrels, ["ndcg@10", "map"]).means)


def scored_as(step: Mapping[str, Any]) -> str:
    """What is printed of a step."""
    return f"nDCG@10 {step['ndcg@10']:.4f}, MAP {step['map']:.4f}"


def steps_to_retr(name: str, data: Loaded) -> list[dict[str, Any]]:
    """BM25's steps with their figures."""
    return [{"step": step, **scored(run, data)} for step, run in lexical(name, data)]


def lexical(name: str, data: Loaded) -> Iterator[tuple[str, Run]]:
    """From the page's BM25 to retr's."""
    steps = steps_of(PAGES_K1_B.get(name, (1.5, 0.75)))
    for step, tokens, k1, b in steps:
        yield step, whole(data, tokens, k1, b)
    if SETS[name].own:
        for step, tokens, k1, b in steps[1:]:
            yield f"{step}; statistics of each query's own candidates", each(data, tokens, k1, b)


def steps_of(page: tuple[float, float]) -> list[Step]:
    """Each step changes one thing; a step that would change nothing is left out."""
    own = OWN_K1_B
    first: list[Step] = [(f"bm25s's words and stop words, Porter's stemmer, k1={page[0]}, b={page[1]}", by_page, *page)]
    second: list[Step] = [(f"k1={own[0]}, b={own[1]}", by_page, *own)] if own != page else []
    return [
        *first,
        *second,
        ("words split as retr splits them", by_words, *own),
        ("retr's stop words and stemmer too", by_retr, *own),
        ("no stop words, no stemmer", by_plain, *own),
    ]


def by_page(texts: Sequence[str]) -> list[list[str]]:
    """Words of two characters or more, bm25s's English stop words, Porter's stemmer."""
    return _bm25s_tokens(texts, stem=True)


def by_plain(texts: Sequence[str]) -> list[list[str]]:
    """The same words as they are."""
    return _bm25s_tokens(texts, stem=False)


def by_words(texts: Sequence[str]) -> list[list[str]]:
    """retr's words; stop words and stemmer as before."""
    from bm25s.stopwords import STOPWORDS_EN
    from Stemmer import Stemmer

    words, stemmer, stop = analyzer("none"), Stemmer("porter"), set(STOPWORDS_EN)
    return [stemmer.stemWords([word for word in words.analyze(text) if word not in stop]) for text in texts]


def by_retr(texts: Sequence[str]) -> list[list[str]]:
    """retr's own terms."""
    terms = analyzer("english")
    return [terms.analyze(text) for text in texts]


def _bm25s_tokens(texts: Sequence[str], *, stem: bool) -> list[list[str]]:
    import bm25s
    from Stemmer import Stemmer

    stemmer, stop = (Stemmer("porter"), "en") if stem else (None, [])
    found: Any = bm25s.tokenize(texts, stopwords=stop, stemmer=stemmer, return_ids=False, show_progress=False)
    return [list(tokens) for tokens in found]


def whole(data: Loaded, tokens: Tokens, k1: float, b: float) -> Run:
    """One index of all texts; where candidates are given only they are ranked."""
    ids = list(data.documents)
    score = scorer_of([text_of(document) for document in data.documents.values()], tokens, k1, b)
    found = {}
    for query in data.queries:
        values = score(query.text)
        scores = {id: float(value) for id, value in zip(ids, values, strict=True) if value > 0}
        given = data.candidates.scores.get(query.id)
        if given is not None:
            found[query.id] = {id: scores.get(id, 0.0) for id in given}
        else:
            found[query.id] = {id: scores[id] for id in ranked(scores)[:DEPTH]}
    return Run(found)


def each(data: Loaded, tokens: Tokens, k1: float, b: float) -> Run:
    """An index of its own candidates for each query."""
    found = {}
    for query in data.queries:
        ids = list(data.candidates.scores[query.id])
        score = scorer_of([text_of(data.documents[id]) for id in ids], tokens, k1, b)
        found[query.id] = {id: float(value) for id, value in zip(ids, score(query.text), strict=True)}
    return Run(found)


def scorer_of(texts: Sequence[str], tokens: Tokens, k1: float, b: float) -> Callable[[str], Any]:
    """From a query to its BM25 scores of all texts (Lucene's form, as the pages used)."""
    import bm25s

    index = bm25s.BM25(k1=k1, b=b)
    index.index(tokens(texts), show_progress=False)

    def score(query: str) -> Any:
        # bm25s refuses words that it does not know, and the empty one that it adds to every vocabulary.
        terms = [term for term in tokens([query])[0] if term and term in index.vocab_dict]
        return index.get_scores(terms) if terms else [0.0] * len(texts)

    return score


def reranking(data: Loaded, args: argparse.Namespace) -> dict[str, Any]:
    """The cross-encoder's steps, and what it makes of other candidates."""
    fast = Remembering(load_scorer(f"cross={args.cross}"))
    steps = [{"step": step, **scored(run, data)} for step, run in crossed(data, fast, args)]
    return {"cross": steps, "depth": explained(data, fast, args.seed)}


def crossed(data: Loaded, fast: Any, args: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """The same candidates with a changed function of the scores, repaired texts, and other weights."""
    found = rerank_run(data.candidates, data.queries, data.documents, fast)
    yield "int8, the first 100 of BM25", found
    yield "int8, scores through a sigmoid in float32", Run({id: squashed(one) for id, one in found.scores.items()})
    repaired = {id: Document(id, mended(document.text)) for id, document in data.documents.items()}
    yield "int8, broken characters repaired", rerank_run(data.candidates, data.queries, repaired, fast)
    exact = load_scorer(f"cross={args.cross_float32}")
    yield "float32 weights, the first 100 of BM25", rerank_run(data.candidates, data.queries, data.documents, exact)


def squashed(scores: Mapping[str, float]) -> dict[str, float]:
    """1 / (1 + e^-score), which makes scores equal where float32 ends."""
    values = 1 / (1 + np.exp(-np.array(list(scores.values()), np.float32)))
    return dict(zip(scores, values.tolist(), strict=True))


def text_of(document: Document) -> str:
    """What every system sees."""
    return f"{document.title} {document.text}".strip()


if __name__ == "__main__":
    main()

"""Why a figure is not the one that a set's page gives: what is different is changed one thing at a time.

    RETR_DATA=… python bench/retrieval_why.py [--sets …] [--cross FOLDER] [--cross-float32 FOLDER]

For BM25, bm25s goes in steps from the page's settings to retr's; where candidates are given, also with the statistics
of each query's own candidates alone. For the cross-encoder: weights, broken characters, and which candidates it sees.
What is found lies in the scratch folder, by set, and `bench/retrieval.py --collect` records it.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import recording
from retrieval_sets import SETS, Loaded, data_root, given_run, load_set
from retrieval_systems import CROSS
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
RUNS = ("bm25", "bm25-rm3", "tasb", "splade-pp-ed", "openai-ada2", "repllama")


def main() -> None:
    """Measure and write, set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, metavar="SET")
    parser.add_argument("--cross", type=absolute, default=CROSS)
    parser.add_argument("--cross-float32", type=absolute, default=recording.ROOT / "bench" / "scratch" / "cross")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "retrieval")
    args = parser.parse_args()
    for name in args.sets or [name for name, one in SETS.items() if one.figures]:
        data = load_set(name)
        found: dict[str, list[dict[str, Any]]] = {}
        if not SETS[name].given:
            found["bm25"] = [{"step": step, **scored(run, data)} for step, run in lexical(name, data)]
        if name == "msmarco-dl19-top100":
            found["cross"] = [{"step": step, **scored(run, data)} for step, run in crossed(data, args)]
        for system, steps in found.items():
            for step in steps:
                print(
                    f"{name} {system}: {step['step']}: nDCG@10 {step['ndcg@10']:.4f}, MAP {step['map']:.4f}", flush=True
                )
        path = args.work / "why" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**found, **recording.commit()}), encoding="utf-8")


def scored(run: Run, data: Loaded) -> dict[str, float]:
    """The means that pages state."""
    return dict(evaluate(run, data.qrels, ["ndcg@10", "map"]).means)


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


def crossed(data: Loaded, args: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """The cross-encoder over fewer, the same and other candidates, from other weights, over repaired texts."""
    fast = load_scorer(f"cross={args.cross}")
    given = data.candidates
    for depth in (20, 50, 100):
        yield f"int8, the first {depth} of BM25", rerank_run(_cut(given, depth), data.queries, data.documents, fast)
    repaired = {id: Document(id, mended(document.text)) for id, document in data.documents.items()}
    yield "int8, broken characters repaired", rerank_run(given, data.queries, repaired, fast)
    exact = load_scorer(f"cross={args.cross_float32}")
    yield "float32 weights, the first 100 of BM25", rerank_run(given, data.queries, data.documents, exact)
    yield "int8, what any of the six given runs holds", rerank_run(_pool(), data.queries, data.documents, fast)


def mended(text: str) -> str:
    """UTF-8 that was once read as Latin-1, put right where that is what happened."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def text_of(document: Document) -> str:
    """What every system sees."""
    return f"{document.title} {document.text}".strip()


def _cut(run: Run, depth: int) -> Run:
    return Run({id: {doc: scores[doc] for doc in ranked(scores)[:depth]} for id, scores in run.scores.items()})


def _pool() -> Run:
    """Every passage that some run has for a query."""
    folder = data_root() / "msmarco-dl19" / "runs"
    found: dict[str, dict[str, float]] = {}
    for name in RUNS:
        for query, scores in given_run(folder / f"{name}.top100.tsv").scores.items():
            found.setdefault(query, {}).update(dict.fromkeys(scores, 0.0))
    return Run(found)


if __name__ == "__main__":
    main()

"""What bench/encode.py gives to every encoder: passages, sentences, whole documents and queries, all from SciFact.

A passage is the beginning of an abstract, cut after the sentence that ends nearest to 150 tokens; a sentence is one of
an abstract that gave no passage. Both keep their natural lengths. Tokens are MiniLM's, special ones included, counted
up to the 256 that every system reads.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import scifact_texts
from encoding.protocol import MAX_TOKENS

PASSAGE_TOKENS = 150
FEWEST = 130  # a passage has at least so many
SENTENCE_TOKENS = range(10, 33)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
TRIED_PASSAGES, TRIED_SENTENCES = 128, 512


def prepare(model: Path, folder: Path, sizes: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Write the texts as JSON lists, and say how many texts, tokens and model FLOPs each list has."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    corpus = scifact_texts.load(scifact_texts.data_folder())
    if sizes["documents"] < len(corpus.texts):
        corpus = scifact_texts.choose(corpus, sizes["documents"], seed)
    order = scifact_texts.pick(corpus.texts, len(corpus.texts), seed)
    bodies = [corpus.texts[id].partition("\n\n")[2].strip() for id in order]
    passages = list(some(cut(tokenizer, bodies), sizes["passages"]))
    rest = [body for body in bodies if not body.startswith(tuple(passages))] or bodies
    sentences = list(some(singles(tokenizer, rest), sizes["sentences"]))
    lists = {
        "passages": passages,
        "sentences": sentences,
        "few-passages": passages[:TRIED_PASSAGES],
        "few-sentences": sentences[:TRIED_SENTENCES],
        "documents": [" ".join(text.split("\n\n", 1)).strip() for text in corpus.texts.values()],
        "queries": list(corpus.queries.values()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in lists.items():
        (folder / f"{name}.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    ids = {"documents": list(corpus.texts), "queries": list(corpus.queries), "qrels": corpus.qrels}
    (folder / "ids.json").write_text(json.dumps(ids), encoding="utf-8")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return {name: work(lengths(tokenizer, texts), config) for name, texts in lists.items()}


def some(texts: Iterator[str], count: int) -> Iterable[str]:
    """The first `count`; fewer are a mistake of the caller."""
    found = [text for text, _ in zip(texts, range(count), strict=False)]
    if len(found) < count:
        raise SystemExit(f"{count} texts were asked for; SciFact gives {len(found)}.")
    return found


def cut(tokenizer: Any, bodies: Sequence[str]) -> Iterator[str]:
    """The beginnings of those that are long enough."""
    for body in bodies:
        ends = [match.start() for match in SENTENCE_END.finditer(body)] + [len(body)]
        beginnings = [body[:end] for end in ends]
        counts = lengths(tokenizer, beginnings)
        nearest = min(range(len(ends)), key=lambda at: abs(counts[at] - PASSAGE_TOKENS))
        if counts[nearest] >= FEWEST:
            yield beginnings[nearest]


def singles(tokenizer: Any, bodies: Sequence[str]) -> Iterator[str]:
    """One sentence a text: the last one of a fitting length."""
    for body in bodies:
        parts = SENTENCE_END.split(body)
        counts = lengths(tokenizer, parts)
        fitting = [part for part, count in zip(parts, counts, strict=True) if count in SENTENCE_TOKENS]
        if fitting:
            yield fitting[-1]


def lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Tokens a text."""
    return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]


def work(counts: Sequence[int], config: Mapping[str, Any]) -> dict[str, Any]:
    """How much there is to encode. GFLOP: a multiplication and an addition are two; padding is not counted."""
    read = [min(count, MAX_TOKENS) for count in counts]
    dim, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    dense = 2 * layers * (4 * dim * dim + 2 * dim * inner)
    attention = 4 * layers * dim
    return {
        "texts": len(read),
        "tokens": sum(read),
        "shortest": min(read),
        "longest": max(read),
        "gflop": sum(count * (dense + attention * count) for count in read) / 1e9,
    }

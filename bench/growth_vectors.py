"""Real vectors by the million for bench/growth.py: passages of public corpora through a static encoder.

    RETR_DATA=… python bench/growth_vectors.py [--most 1000000] [--sentences 4]

A passage is a sentence (as in bench/index_vectors.py) or two, three or four that follow one another; with --sentences 1
none is part of another, and there are a third as many. The encoder is a
table of words distilled here from all-MiniLM-L6-v2 with `retr distill`, and the vectors come by `retr encode`, so that
a run that was stopped goes on. Written as bench/index_vectors.py writes: `<N>k.npy` (float32, unit rows),
`queries.npy` (real queries and passages that are not among the rows), `meta.parquet`, `about.json`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import index_vectors
import numpy as np
import recording
from index_vectors import DOCUMENT_SETS, LENGTHS, SENTENCE_END, Text

LONGEST = 600
"""Characters of a passage."""


def main() -> None:
    """Collect, distil, encode, save."""
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    root = index_vectors.data_folder()
    passages = index_vectors.in_order(
        (text for name in DOCUMENT_SETS for text in passages_of(root, name, args.sentences)), args.seed
    )
    print(f"{len(passages):,} distinct passages", flush=True)
    held_out = args.queries - args.real_queries
    count = min(args.most, len(passages) - held_out)
    rows, spare = passages[:count], passages[count : count + held_out]
    taken = {index_vectors.folded(text.text) for text in spare}
    real = [
        text for text in index_vectors.real_queries(root, args.seed) if index_vectors.folded(text.text) not in taken
    ]
    real = real[: args.real_queries]
    index_vectors.write_tables(args.out, rows, real, spare, args.seed)
    encoder = distilled(args.out / "static", args.seed)
    index_vectors.save(args.out / "queries.npy", encoder.encode_queries([text.text for text in [*real, *spare]]).values)
    encode(args.out, encoder, rows)
    about = {
        "encoder": {"name": "a static table distilled from all-MiniLM-L6-v2", "runtime": f"{encoder.dim} numbers"},
        "sentences": args.sentences,
        "real_queries": len(real),
        "held_out_sentences": len(spare),
        "fingerprint": encoder.fingerprint,
        "seed": args.seed,
        "machine": recording.machine(),
    }
    (args.out / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(about, indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000, help="vectors, or as many as there are passages")
    parser.add_argument("--sentences", type=int, default=4, help="most sentences of a passage")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--real-queries", type=int, default=700, help="the others are held-out passages")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=recording.ROOT / "bench" / "scratch" / "growth-vectors")
    return parser.parse_args()


def passages_of(root: Path, name: str, most: int) -> Iterator[Text]:
    """One sentence, and up to so many that follow one another, of every document of a corpus."""
    import gzip

    with gzip.open(root / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            sentences = [" ".join(sentence.split()) for sentence in SENTENCE_END.split(record["text"])]
            for first in range(len(sentences)):
                for last in range(first + 1, min(first + most, len(sentences)) + 1):
                    text = " ".join(sentences[first:last])
                    if LENGTHS.start <= len(text) <= LONGEST:
                        yield Text(name, text)


def distilled(folder: Path, seed: int) -> Any:
    """The static encoder, made once."""
    from retr.distill.static.distilling import distil_static
    from retr.distill.static.settings import StaticSettings
    from retr.encoders import load_encoder

    if not folder.exists():
        distil_static(load_encoder("all-MiniLM-L6-v2"), folder, StaticSettings(), seed=seed)
    return load_encoder(f"static={folder}")


def encode(out: Path, encoder: Any, rows: list[Text]) -> None:
    """All rows, by shards that a later run takes over, into one file."""
    from retr.encoders.bulk import Record, encode_records, open_vectors
    from retr.encoders.bulk.assembling import assemble

    records = (Record(f"s{row}", text.text) for row, text in enumerate(rows))
    encode_records(encoder, records, out / "shards")
    assemble(open_vectors(out / "shards"), out / f"{len(rows) // 1000}k.npy")
    largest = np.load(out / f"{len(rows) // 1000}k.npy", mmap_mode="r")
    assert len(largest) == len(rows)


if __name__ == "__main__":
    main()

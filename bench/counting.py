"""How much was encoded: vectors and tokens of a retr index, or of a folder of text files truncated as the peers do.

    python counting.py index DIR
    python counting.py files FOLDER

Prints one JSON object. Tokens are those that the model reads: special tokens included, what is cut off left out.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peers.protocol import read_texts

from retr.encoders import load_encoder
from retr.index.snapshot import open_snapshot
from retr.index.writing.batch import encoded_texts


def count(encoder: Any, texts: Iterable[str]) -> dict[str, int]:
    """Vectors and tokens, as the encoder's own tokenizer cuts the texts."""
    lengths = [len(encoding.ids) for encoding in encoder.tokenizer.encode_batch_fast(list(texts))]
    return {"vectors": len(lengths), "tokens": sum(min(length, encoder.max_tokens) for length in lengths)}


def of_index(folder: Path) -> dict[str, int]:
    """What `retr index` encoded: each passage with its document's title."""
    snapshot = open_snapshot(folder)
    assert snapshot.manifest.encoder is not None
    places = snapshot.places(range(snapshot.manifest.next_row))
    texts = (text for place in places for text in encoded_texts(place.document, [(place.start, place.end)]))
    return count(load_encoder(snapshot.manifest.encoder.spec), texts)


def of_files(folder: Path) -> dict[str, int]:
    """What a peer encodes: each file once."""
    return count(load_encoder(), read_texts(folder).values())


if __name__ == "__main__":
    print(json.dumps({"index": of_index, "files": of_files}[sys.argv[1]](Path(sys.argv[2]))))

"""The one-token index of the kind `ql`: what a decoder keeps of each text's end token, written into a folder.

The folder is one of `retr.encoders.bulk`: float16 or float32 [texts, numbers] in shards that a stopped run goes on
with, a text's id being a hash of it. So whoever has a text finds its row, and a text that changed finds none.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from retr.encoders.bulk import BulkReport, BulkSettings, Record, encode_records
from retr.encoders.bulk.encoding import Watch, in_silence
from retr.encoders.bulk.settings import Dtype
from retr.encoders.llm.folder import read_llm
from retr.encoders.llm.ql_folder import check_packages, folder_of, identity_of, read_table
from retr.encoders.on_torch.compute import Compute
from retr.encoders.reading.folder import reading
from retr.encoders.running.pipeline import WindowSettings
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput

KIND = "ql="
"""What the name of the model begins with in a folder of keys."""

SHARD_TEXTS, WINDOW_TEXTS = 1024, 64


@dataclass(frozen=True, slots=True, eq=False)
class KeyReader:
    """A decoder with a stop as an `Encoder` whose documents' vectors are what it keeps of their end tokens."""

    kept: Any
    identity: dict[str, Any]
    runtime: str
    similarity: Literal["dot"] = "dot"

    @property
    def dim(self) -> int:
        """Numbers a text."""
        return int(self.kept.token.packing.dim)

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, what is kept may."""
        table = {name: value for name, value in self.identity["ql"].items() if name != "normalise"}
        return hashlib.sha256(
            json.dumps([{**self.identity, "ql": table}, self.dim], sort_keys=True).encode()
        ).hexdigest()

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """float32 [texts, dim]: position, last state, and each layer's keys and values."""
        import torch

        with torch.inference_mode():
            return Vectors(np.asarray(self.kept.read(texts).cpu().numpy(), np.float32))

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """BadInput: a query is scored and has no vector."""
        raise BadInput(f"Keys are kept of documents alone; got {len(texts)} queries. Score them by --rerank ql=FOLDER.")

    def score(self, query: str, rows: Floats) -> Floats:
        """float32 [texts], log P(query | text) of rows [texts, dim] of `encode_documents`."""
        import torch

        with torch.inference_mode():
            found = self.kept.score(query, torch.from_numpy(rows).to(self.kept.likelihood.decoder.device))
            return np.asarray(found.float().cpu().numpy(), np.float32)


def open_keys(source: str, device: str = "") -> KeyReader:
    """The reader of a decoder's folder. BadInput for one without a stop, or whose layers keep no keys and values."""
    path = folder_of(source)
    check_packages()
    with reading(path):
        from retr.encoders.trainable.llm.ql_opening import open_kept

        folder, table = read_llm(path), read_table(path)
        placement = Compute.asked(device).place()
        kept, tokenizer = open_kept(folder, table, placement)
        identity = identity_of(folder, table, tokenizer, placement.precision)
        return KeyReader(kept, identity, f"torch on {placement.device}")


def keep_keys(
    source: str,
    texts: Iterable[str],
    folder: str | Path,
    *,
    dtype: Dtype = "float16",
    device: str = "",
    watch: Watch = in_silence,
) -> BulkReport:
    """Write what the decoder keeps of each text, equal ones once; given again it goes on, and reads what is new.

    The folder is a source of the kind `ql`. Mismatch where it holds another model's keys.
    """
    reader, model = open_keys(source, device), Path(source).expanduser()
    name = KIND + (str(model.resolve()) if model.is_dir() else source)
    settings = BulkSettings(dtype=dtype, shard_texts=SHARD_TEXTS, window=WindowSettings(texts=WINDOW_TEXTS))
    return encode_records(reader, _records(texts), folder, name=name, settings=settings, watch=watch)


def id_of(text: str) -> str:
    """A text's id in a folder of keys."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _records(texts: Iterable[str]) -> Iterator[Record]:
    seen: set[bytes] = set()
    for text in texts:
        id = id_of(text)
        if bytes.fromhex(id) not in seen:
            seen.add(bytes.fromhex(id))
            yield Record(id, text)

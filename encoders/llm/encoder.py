"""The kind `llm`: a decoder's folder as an encoder of one vector a text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from retr.encoders.bi import BiEncoder, Head
from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.llm.folder import LlmFolder, read_llm
from retr.encoders.reading import hub
from retr.encoders.reading.card import licence
from retr.encoders.reading.folder import read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.record import read_record
from retr.encoders.reading.tokenizing import Tokens, read_tokenizer
from retr.encoders.running.devices import asked_for
from retr.encoders.running.network import PoolingNetwork
from retr.encoders.running.opening import Opened, open_exported
from retr.encoders.running.pipeline import Side
from retr.retrieval.errors import BadInput, NotFound, RetrError, missing_package


@dataclass(frozen=True, slots=True, eq=False)
class LlmEncoder(BiEncoder):
    """A decoder as an encoder. A text of which its tokenizer makes no token is read as the one token `empty`."""

    empty: int = 0

    def tokenize(self, texts: Sequence[str], side: Side) -> Tokens:
        """The token numbers of each text, after the side's instruction."""
        tokens = BiEncoder.tokenize(self, texts, side)  # a slotted dataclass has no super()
        ids = [row if len(row) else np.array([self.empty], np.int32) for row in tokens.ids]
        return Tokens(ids, tokens.skip, tokens.cut)


def load(source: str, device: str = "") -> LlmEncoder:
    """The encoder of a decoder's folder or hub name: retr's own, sentence-transformers', an adapter's, or a bare one.

    `device` is as `on_torch.compute.Compute` reads it, and may also end in `+int8` or `+int4`, which need a GPU.
    """
    path, name = Path(source).expanduser(), ""
    if not path.is_dir():
        if not hub.is_hub_name(source):
            raise NotFound(f"No folder {source!r} of a decoder. Give a folder that transformers saved, or a hub name.")
        path, name = hub.fetch(source), source
    with reading(path):
        return load_folder(path, name, device)


def load_folder(path: Path, name: str = "", device: str = "") -> LlmEncoder:
    """The encoder of a folder; it is tried, so that parts that do not fit together are told here."""
    folder = read_llm(path)
    table = folder.table
    home = path if (path / "tokenizer.json").is_file() else folder.base
    tokenizer, tokenizer_hash = read_tokenizer(home, table.max_tokens, lowercase=folder.lowercase)
    opened = _open(folder, device)
    empty = _empty(folder)
    # What learned pooling gives is no longer of tokens: one row a text, the first of which is all.
    modes = ("cls",) if table.latent else table.modes
    head = Head(modes, folder.dense, table.normalised, table.include_prompt)
    dim = _dim(opened, head, empty)
    told = {key: value for key, value in asdict(table).items() if key not in ("kind", "max_tokens")}
    identity = {
        "weights": hashes(path, list(opened.files)),
        "tokenizer": tokenizer_hash,
        "precision": opened.precision,
        "builder": BUILDER,
        "dim": dim,
        "max_tokens": table.max_tokens,
        "llm": told,
        "lowercase": folder.lowercase,
    }
    about = {
        "name": name or path.resolve().name,
        "source": str(path),
        "runtime": opened.runtime,
        "licence": licence(path),
    }
    return LlmEncoder(
        opened.network,
        tokenizer,
        dim,
        table.max_tokens,
        identity,
        about,
        head,
        table.similarity,
        table.query_prompt,
        table.document_prompt,
        empty,
    )


def _open(folder: LlmFolder, device: str) -> Opened:
    """What `retr export` wrote, on the CPU; else torch."""
    record = read_record(folder.path, "llm")
    if record is not None and "+int" not in device and asked_for(device).usual:
        return open_exported(folder.path, record, classifier=False)
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for="A decoder that was not exported", extra="train")
    from retr.encoders.llm.opening import open_llm_network

    return open_llm_network(folder, device)


def _empty(folder: LlmFolder) -> int:
    """The token that stands for a text without any: the end's."""
    config = read_json(folder.base / "config.json")
    found = config.get("eos_token_id")
    found = found[0] if isinstance(found, list) and found else found
    return found if isinstance(found, int) else 0


def _dim(opened: Opened, head: Head, empty: int) -> int:
    """The vectors' size, from one short text: it also shows now, and not later, that the parts fit together."""
    ids, network = np.array([[empty, empty]], np.int64), opened.network
    try:
        if isinstance(network, PoolingNetwork):
            return int(head.finish(network.vectors(list(ids), head.poolings, 0)).shape[1])
        return int(head(network(ids, np.zeros_like(ids)), 0).shape[1])
    except RetrError:
        raise
    except Exception as error:  # torch's and numpy's errors share no base
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"The model folder's parts do not fit together ({reason}). Get the folder again.") from None

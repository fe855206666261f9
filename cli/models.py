"""`retr models`: what can be loaded by `--encoder` and `--rerank`, and what of it is on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from retr.encoders.models import Model


def models(
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of tables.")] = False,
) -> None:
    """List the models that come with retr, and the kinds of encoder and scorer.

    Any folder of sentence-transformers works too: `--encoder FOLDER`, `--rerank cross=FOLDER`; and a class of your
    own: `--encoder package.module:Class=SOURCE`.
    """
    from retr.cli.output import emit_json, print_line, print_table
    from retr.encoders import ENCODERS, SCORERS

    known = _known_models()
    kinds = [
        {"what": what, "kind": kind, "loads": target}
        for what, table in (("encoder", ENCODERS), ("scorer", SCORERS))
        for kind, target in table.items()
    ]
    if json:
        emit_json({"models": known, "kinds": kinds})
        return
    shown = ("name", "kind", "dim", "tokens", "MB", "licence", "package", "here")
    print_table(shown, [_row(model) for model in known])
    print_line()
    print_table(["what", "kind", "loads"], [list(kind.values()) for kind in kinds])


def _row(model: dict[str, Any]) -> list[object]:
    size = round(model["bytes"] / 1e6)
    facts = [model[name] for name in ("name", "kind", "dim", "max_tokens")]
    return [*facts, size, model["licence"], model["package"], model["present"]]


def _known_models() -> list[dict[str, Any]]:
    from retr.encoders.models import DEFAULT_MODEL, MODELS

    return [
        {
            "name": model.name,
            "kind": "bi",
            "dim": model.dim,
            "max_tokens": model.max_tokens,
            "bytes": model.bytes,
            "licence": model.licence,
            "package": model.package,
            "file": model.file,
            "sha256": model.sha256,
            "default": model.name == DEFAULT_MODEL,
            "present": _is_here(model),
        }
        for model in MODELS.values()
    ]


def _is_here(model: "Model") -> bool:
    from retr.retrieval.errors import NotFound

    try:
        model.find_weights()
    except NotFound:
        return False
    return True

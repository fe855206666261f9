"""`retr train`: a model learns from rows of queries and documents, as a recipe says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from retr.cli.options import JsonOption, QuietOption


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file: model, out, data, objective, …")],
    out: Annotated[
        Path | None, typer.Option(help="The new folder, in place of the recipe's out.", metavar="DIR")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the recipe's seed.")] = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Train a retriever or a reranker.

    The recipe's kind is one of: bi, cross, uni, poly, late, llm, filip, lexsem, smith, mvp.

    Cut off at any instant, the same command goes on where it was, to the very same weights. The new folder can stand
    after `--encoder`, or after `--rerank` for the kinds that score. It is there when all of it is there; what it
    learned from, and what was measured, stands in its README.md and retr.json.
    """
    from time import monotonic

    from retr.cli.output import emit_json
    from retr.cli.progress import Stages
    from retr.encoders.training.recipe import read_recipe

    started = monotonic()
    plan = read_recipe(recipe, out=out, seed=seed)
    _need_torch()
    with Stages("train", quiet=quiet) as stages:
        made = plan.job().run(plan.recipe.out, stages.report)
    if not made:
        return  # One of several processes that Lightning started: the first one tells.
    seconds = monotonic() - started
    if json:
        emit_json({"out": plan.recipe.out, "seconds": round(seconds, 2), "training": made})
        return
    _say(plan.recipe.out, made, seconds)


def _need_torch() -> None:
    from importlib.util import find_spec

    from retr.retrieval.errors import missing_package

    for module, package in (("torch", "torch"), ("pytorch_lightning", "pytorch-lightning"), ("safetensors",) * 2):
        if find_spec(module) is None:
            raise missing_package(package, needed_for="retr train", extra="train")


def _say(out: Path, made: Mapping[str, Any], seconds: float) -> None:
    from retr.cli.output import print_line
    from retr.cli.progress import duration

    print_line(f"{out}: {made['steps']:,} steps over {made['rows']['count']:,} rows, in {duration(seconds)}")
    measured = made["validation"]
    if measured is not None:
        best = f"{measured['best']:.4f} at step {measured['best_step']:,}"
        print_line(f"{measured['metric']}: {measured['start']:.4f} before training, {best}, the best of the run")

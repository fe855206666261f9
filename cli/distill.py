"""`retr distill`: a small student from a large teacher, as a recipe says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from retr.cli.options import JsonOption, QuietOption


def distill(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file: method, teacher, out, …")],
    out: Annotated[
        Path | None, typer.Option(help="The new folder, in place of the recipe's out.", metavar="DIR")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the recipe's seed.")] = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Make a model from another one: a student from its teacher.

    The method `static` makes a table of words that is looked up and averaged. `margin-mse`, `listwise-kl` and
    `embedding-mse` train a student of any kind on what a teacher says of your rows; `dse` teaches a cross-encoder to a
    head over two sentences' vectors; in `trans-encoder` bi- and cross-encoders teach each other. The new folder is
    there when all of it is there; what it was made from stands in its retr.json. Cut off at any instant, the same
    command goes on.
    """
    from time import monotonic

    from retr.cli.output import emit_json
    from retr.cli.progress import Stages
    from retr.distill.recipe import read_recipe

    started = monotonic()
    plan = read_recipe(recipe, out=out, seed=seed)
    with Stages("distill", quiet=quiet) as stages:
        made = plan.run(stages.report)
    if not made:
        return  # One of several processes that Lightning started: the first one tells.
    seconds = monotonic() - started
    if json:
        emit_json({"out": plan.recipe.out, "seconds": round(seconds, 2), **made})
        return
    _say(plan.recipe.out, made, seconds)


def _say(out: Path, made: Mapping[str, Any], seconds: float) -> None:
    from retr.cli.output import print_fields, print_line
    from retr.cli.progress import duration

    print_line(f"{out}: {made['kind']}, from {made['teacher']['name']}, in {duration(seconds)}")
    print_fields({name.replace("_", " "): value for name, value in made["figures"].items()})
    held_out = made.get("held_out")
    if held_out:
        print_line(f"measured on {held_out['texts']:,} passages of {held_out['of']}, none of which it was fitted to")

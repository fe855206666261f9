"""The method `static` of a recipe."""

from collections.abc import Mapping
from typing import Any

from retr.distill.folder import check_new
from retr.distill.recipe import Method, Recipe, Report
from retr.distill.static.distilling import distil_static
from retr.distill.static.settings import StaticSettings
from retr.encoders import load_encoder


def run(recipe: Recipe, settings: StaticSettings, report: Report) -> Mapping[str, Any]:
    """Make the student of the recipe; the content of its retr.json."""
    check_new(recipe.out)
    documents = recipe.documents(report)
    teacher = load_encoder(recipe.teacher)
    return distil_static(teacher, recipe.out, settings, documents=documents, seed=recipe.seed, report=report)


METHOD = Method(StaticSettings, run)

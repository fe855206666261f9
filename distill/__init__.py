"""Teachers to students: each distillation recipe is one file here and one line in the table."""

RECIPES: dict[str, str] = {}
"""A recipe's name to `module:attribute`. Its methods come in a later release."""

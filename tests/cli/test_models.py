"""`retr models`."""

import json

import pytest
from typer.testing import CliRunner

from retr.cli import make_app
from retr.encoders import ENCODERS, SCORERS
from retr.encoders.models import DEFAULT_MODEL, MODELS


def test_json_lists_every_model_and_kind() -> None:
    result = CliRunner().invoke(make_app(), ["models", "--json"])
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert [model["name"] for model in answer["models"]] == list(MODELS)
    assert {kind["kind"] for kind in answer["kinds"]} == set(ENCODERS) | set(SCORERS)


def test_one_model_is_the_default_and_says_where_it_comes_from() -> None:
    models = json.loads(CliRunner().invoke(make_app(), ["models", "--json"]).stdout)["models"]
    [default] = [model for model in models if model["default"]]
    assert default["name"] == DEFAULT_MODEL
    assert (default["dim"], default["max_tokens"], default["licence"]) == (384, 256, "Apache-2.0")
    assert default["package"]
    assert len(default["sha256"]) == 64


def test_the_table_shows_the_same() -> None:
    result = CliRunner().invoke(make_app(), ["models"])
    assert result.exit_code == 0
    for name in (*MODELS, *ENCODERS, *SCORERS):
        assert name in result.stdout


def test_a_model_whose_package_is_gone_is_shown_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.encoders.models.find_spec", lambda name: None)
    models = json.loads(CliRunner().invoke(make_app(), ["models", "--json"]).stdout)["models"]
    assert not any(model["present"] for model in models)

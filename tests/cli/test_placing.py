"""`--on`: what does not go together is said before anything is begun."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from retr.cli import app, placing
from retr.cli.placing import Place
from retr.retrieval.errors import BadInput, NotFound


@pytest.mark.parametrize("command", [["encode", "{}", "--out", "{}.out"], ["index", "{}", "--index", "{}.index"]])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--on", "rey"], "No --on named 'rey'. Did you mean 'ray'?"),
        (["--workers", "2"], "--workers is for workers of Ray. Add --on ray"),
        (["--ray-address", "x:1"], "--ray-address is for workers of Ray"),
        (["--on", "ray", "--worker-cpus", "0"], "worker_cpus is 0; a job needs at least 1"),
    ],
)
def test_places_that_make_no_sense_are_refused(tmp_path: Path, command: list[str], given: list[str], says: str) -> None:
    source = tmp_path / "t.txt"
    source.write_text("a text\n")
    found = CliRunner().invoke(app, [*(word.format(source) for word in command), *given])
    assert (found.exit_code, found.stderr.count("\n")) == (1, 1)
    assert says in found.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotFound, match=r"pip install 'retr\[ray\]'"):
        Place("ray")


def test_an_index_with_two_encoders_is_not_filled_by_ray() -> None:
    class Two:
        home = "index"

        class manifest:
            encoders = ("a", "b")

    with pytest.raises(BadInput, match="with one encoder, by name; 'index' has 2 encoders"):
        placing._spec_of(Two())  # type: ignore[arg-type]

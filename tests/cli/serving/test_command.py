"""`retr serve` refuses what it cannot do before it listens, in one line."""

import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retr.cli import make_app
from retr.cli.serving.running import listening_socket
from retr.cli.serving.settings import ServeSettings
from retr.retrieval.errors import BadInput


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to serve"),
        (["--encoder", "none-such"], "none-such"),
        (["--index", "none"], "none"),
        (["--encoder", "a", "--keys", "none"], "no file of keys"),
        (["--encoder", "a", "--host", "0.0.0.0"], "--open-to-all"),
        (["--encoder", "a", "--matryoshka", "a"], "--matryoshka"),
        (["--encoder", "a", "--judgements", "none/j.tsv"], "no folder 'none' for --judgements"),
        (["--encoder", "a", "--workers", "0"], "workers is 0"),
        (["--encoder", "a", "--port", "70000"], "65535"),
        (["--encoder", "a", "--timeout", "nan"], "request_seconds is nan"),
        (["--encoder", "a", "--port", "TAKEN"], "in use"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(make_app(), ["serve", *(port if one == "TAKEN" else one for one in options)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *more: Any) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", find)
    result = CliRunner().invoke(make_app(), ["serve"])
    assert "pip install 'retr[serve]'" in result.stderr


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listening_socket(ServeSettings(port=0)) as found:
        assert found.proto == socket.IPPROTO_TCP  # what asyncio asks before it sets TCP_NODELAY


def test_a_socket_listens_at_six_too() -> None:
    try:
        found = listening_socket(ServeSettings(host="::1", port=0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with found:
        assert found.getsockname()[1] > 0


@pytest.mark.parametrize("wrong", [{"max_requests": 0}, {"matryoshka": (0,)}, {"refresh_seconds": 0.0}, {"port": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        ServeSettings(**wrong)

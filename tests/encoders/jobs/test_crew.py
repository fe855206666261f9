"""How many workers of Ray there are, and what each has: reckoned from the machines that Ray says there are."""

import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from retr.encoders.jobs import JobSettings, crew
from retr.encoders.jobs.crew import RayCrew
from retr.encoders.jobs.worker import Worker
from retr.retrieval.errors import Mismatch, NotFound


class Ray:
    """Machines, and what actors were asked for."""

    def __init__(self, *machines: tuple[int, int], dead: tuple[int, int] | None = None) -> None:
        alive = [{"Alive": True, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}} for cpus, gpus in machines]
        gone = [{"Alive": False, "Resources": {"CPU": float(dead[0]), "GPU": float(dead[1])}}] if dead else []
        self._nodes = [*alive, *gone]
        self.options: dict[str, Any] = {}
        self.arguments: tuple[Any, ...] = ()
        self.over = False

    def nodes(self) -> list[dict[str, Any]]:
        return self._nodes

    def remote(self, kind: type) -> Any:
        assert kind is Worker

        def options(**given: Any) -> Any:
            self.options = given
            return SimpleNamespace(remote=lambda *arguments: setattr(self, "arguments", arguments))

        return SimpleNamespace(options=options)

    def shutdown(self) -> None:
        self.over = True


def crew_on(monkeypatch: pytest.MonkeyPatch, ray: Ray, **settings: Any) -> RayCrew:
    monkeypatch.setattr(crew, "_connected", lambda address: (ray, True))
    monkeypatch.delenv("RETR_DEVICE", raising=False)
    made = RayCrew("some-model", JobSettings(**settings))
    made.start()
    return made


@pytest.mark.parametrize(
    ("machines", "settings", "size", "cpus", "gpus", "device"),
    [
        ([(8, 0), (16, 0)], {}, 6, 4, 0, ""),
        ([(1, 0), (16, 0)], {}, 17, 1, 0, ""),
        ([(8, 0), (16, 0)], {"worker_cpus": 8}, 3, 8, 0, ""),
        ([(8, 0), (16, 0)], {"workers": 2}, 2, 4, 0, ""),
        ([(0, 0), (2, 0)], {}, 1, 2, 0, ""),
        ([(32, 8), (32, 4)], {}, 16, 4, 0, ""),
        ([(32, 8), (32, 4)], {"device": "cuda"}, 12, 4, 1, "cuda"),
        ([(32, 8), (64, 0)], {"device": "cuda:3+bfloat16"}, 8, 4, 1, "cuda+bfloat16"),
        ([(32, 8)], {"device": "auto"}, 8, 4, 1, "auto"),
        ([(8, 0)], {"device": "auto"}, 2, 4, 0, "auto"),
    ],
)
def test_as_many_workers_as_fit_with_a_gpu_each_where_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    machines: list[tuple[int, int]],
    settings: dict[str, Any],
    size: int,
    cpus: int,
    gpus: int,
    device: str,
) -> None:
    ray = Ray(*machines, dead=(64, 8))
    made = crew_on(monkeypatch, ray, **settings)
    assert (made.size, ray.options["num_cpus"], ray.options["num_gpus"]) == (size, cpus, gpus)
    assert ray.arguments == ("some-model", device, cpus)
    assert not ray.over
    made.close()
    assert ray.over


def test_what_no_machine_has_is_said_and_ray_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray((8, 0))
    with pytest.raises(Mismatch, match="no machine of this Ray has a GPU"):
        crew_on(monkeypatch, ray, device="cuda")
    assert ray.over
    with pytest.raises(Mismatch, match="No machine of this Ray has 16 CPUs for a worker; they have 8"):
        crew_on(monkeypatch, Ray((8, 0)), worker_cpus=16)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {**crew.QUIET, **crew.ALONE}:
        monkeypatch.setenv(name, "0")  # And put back what there was.
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NotFound, match=r"retr\[ray\]"):
        crew._connected("")


def test_the_last_words_of_a_long_message_are_kept() -> None:
    assert crew._last_words("The actor died.\n\n  because of memory\n") == "because of memory"
    assert crew._last_words("") == "no reason given"


@pytest.mark.parametrize(
    ("address", "says"),
    [("", "No Ray could be started here: it is busy"), ("some-cluster", "No Ray at 'some-cluster'")],
)
def test_a_ray_that_does_not_answer_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, address: str, says: str
) -> None:
    def init(**given: Any) -> None:
        assert given["address"] == (address or "local")
        raise Exception("timed out\nit is busy\n")

    for name in {**crew.QUIET, **crew.ALONE}:
        monkeypatch.setenv(name, "0")  # And put back what there was.
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(NotFound, match=says):
        crew._connected(address)


def test_where_nothing_listens_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(NotFound, match=f"No Ray at '127.0.0.1:{port}'"):
        crew._check_answers(f"127.0.0.1:{port}")
    with pytest.raises(NotFound, match=r"No Ray at '127\.0\.0\.1:99999999'"):
        crew._check_answers("127.0.0.1:99999999")
    for unchecked in ("", "auto", "local"):
        crew._check_answers(unchecked)

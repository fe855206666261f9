"""Workers by Ray: actors on the machines of a cluster, or of a Ray that this process starts for itself alone."""

import os
import signal
import socket
import threading
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from retr.encoders.jobs.pool import Lost
from retr.encoders.jobs.settings import MOST_CPUS, JobSettings
from retr.encoders.jobs.worker import Worker
from retr.retrieval.errors import Mismatch, NotFound, RetrError, missing_package

QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""No report of usage to Ray's makers."""

ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
"""A Ray of our own listens on loopback alone, as Ray does by itself on systems where it knows no clusters."""

ANSWER_SECONDS = 15.0
"""How long the machine at an address may take to answer at all."""


class RayCrew:
    """Starts workers as Ray actors, spread over the machines. One at a time in a process; `close` ends it."""

    def __init__(self, spec: str, settings: JobSettings) -> None:
        self._ray, self._ours = _connected(settings.asked_address)
        try:
            self._gpus = _gpus_each(settings.asked_device, self._resources("GPU"))
            self._cpus = settings.worker_cpus or self._usual_cpus()
            self.size = self._fitting(settings.workers)
        except BaseException:
            self.close()
            raise
        self._arguments = (spec, _own_gpu(settings.asked_device) if self._gpus else settings.asked_device, self._cpus)
        self._actor = self._ray.remote(Worker).options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )

    def start(self) -> Any:
        """As `Crew.start`."""
        return self._actor.remote(*self._arguments)

    def ask(self, worker: Any, method: str, arguments: Sequence[Any]) -> Any:
        """As `Crew.ask`."""
        return getattr(worker, method).remote(*arguments)

    def ready(self, promises: Sequence[Any], seconds: float) -> Iterable[Any]:
        """As `Crew.ready`."""
        if not promises:
            return []
        try:
            found: list[Any] = self._ray.wait(list(promises), num_returns=1, timeout=seconds)[0]
        except self._ray.exceptions.RayError as error:
            raise Mismatch(f"Ray itself is gone: {_last_words(str(error))} What is finished stays finished.") from None
        return found

    def answer(self, promise: Any) -> Any:
        """As `Crew.answer`."""
        try:
            return self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, RetrError | OSError | MemoryError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise Lost(_last_words(str(error))) from None

    def stop(self, worker: Any) -> None:
        """As `Crew.stop`."""
        self._ray.kill(worker, no_restart=True)

    def close(self) -> None:
        """End a Ray that was started for this; leave a cluster."""
        if self._ours:
            self._ray.shutdown()

    def _resources(self, name: str) -> list[float]:
        """What each machine that lives has of CPU or GPU; none that has none."""
        alive = [node["Resources"].get(name, 0.0) for node in self._ray.nodes() if node["Alive"]]
        return [each for each in alive if each >= 1]

    def _usual_cpus(self) -> int:
        return max(1, min([MOST_CPUS, *map(int, self._resources("CPU"))]))

    def _fitting(self, asked: int | None) -> int:
        kind, each = ("GPU", 1) if self._gpus else ("CPU", self._cpus)
        fitting = sum(int(one // each) for one in self._resources(kind))
        if not fitting:
            raise Mismatch(
                f"No machine of this Ray has {each} {kind}s for a worker; they have "
                f"{', '.join(f'{one:g}' for one in self._resources(kind)) or 'none'}. Ask for less, or add machines."
            )
        return min(fitting, asked or fitting)


def _gpus_each(device: str, there: Sequence[float]) -> int:
    """GPUs of a worker. Mismatch where one is asked for and no machine has one."""
    kind = device.partition("+")[0].partition(":")[0]
    if kind == "cuda" and not there:
        raise Mismatch(f"RETR_DEVICE is {device!r}, but no machine of this Ray has a GPU. Unset it, or add machines.")
    return 1 if there and kind in ("cuda", "auto") else 0


def _own_gpu(device: str) -> str:
    """The device as a worker knows it: Ray shows each its own GPU alone, whatever its number on the machine."""
    place, plus, precision = device.partition("+")
    return f"{place.partition(':')[0]}{plus}{precision}"


def _connected(address: str) -> tuple[ModuleType, bool]:
    """Ray, and whether it is ours to end: connected to the address, or started here where that is empty."""
    for name, value in {**QUIET, **({} if address else ALONE)}.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise missing_package("ray", needed_for="A job by Ray", extra="ray") from None
    if ray.is_initialized():
        return ray, False
    _check_answers(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    in_main = threading.current_thread() is threading.main_thread()
    ending = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            from retr.encoders.running.session import threads

            ray.init(address="local", num_cpus=threads(), include_dashboard=False, **quiet)
    except Exception as error:  # Ray raises plain ones: a machine so busy that nothing starts in 30 seconds, say.
        where = f"at {address!r}" if address else "could be started here"
        raise NotFound(f"No Ray {where}: {_last_words(str(error))}") from None
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, ending)  # Ray has put its own in the place of the command line's.
    return ray, True


def _check_answers(address: str) -> None:
    """NotFound where nothing listens at HOST:PORT, since Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise NotFound(f"No Ray at {address!r}: {error}. Is the cluster up, and may this machine reach it?") from None


def _last_words(text: str) -> str:
    """Ray's messages run over many lines; the last that says something is the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:300]

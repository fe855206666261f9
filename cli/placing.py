"""`--on`: where texts are encoded, in this process or by workers of Ray."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from retr.encoders.bulk.working import Described, Workers
    from retr.encoders.jobs import JobSettings
    from retr.index.collection import Collection

PLACES = ("local", "ray")
_WHERE = "Where it is encoded"

OnOption = Annotated[
    str, typer.Option("--on", help="local: in this process; ray: by workers of Ray.", rich_help_panel=_WHERE)
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of a Ray cluster. Default: RAY_ADDRESS, or a Ray for this run alone.",
        metavar="ADDRESS",
        rich_help_panel=_WHERE,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Workers of Ray. Default: as many as fit.", rich_help_panel=_WHERE)
]
WorkerCpusOption = Annotated[
    int | None,
    typer.Option(help="Cores of each. Default: 4, or what every machine has.", rich_help_panel=_WHERE),
]


@dataclass(frozen=True, slots=True)
class Place:
    """What the command line says of where texts are encoded."""

    on: str = "local"
    address: str | None = None
    workers: int | None = None
    worker_cpus: int | None = None

    def __post_init__(self) -> None:
        from importlib.util import find_spec

        from retr.retrieval.errors import BadInput, missing_package, unknown

        if self.on not in PLACES:
            raise unknown("--on", self.on, PLACES)
        given = {"ray-address": self.address, "workers": self.workers, "worker-cpus": self.worker_cpus}
        for name, value in given.items():
            if value is not None and self.on == "local":
                raise BadInput(f"--{name} is for workers of Ray. Add --on ray, or leave it out.")
        _ = self.settings
        if self.on == "ray" and find_spec("ray") is None:
            raise missing_package("ray", needed_for="--on ray", extra="ray")

    @property
    def settings(self) -> "JobSettings":
        """The same as a job takes it."""
        from retr.encoders.jobs import JobSettings

        return JobSettings(address=self.address or "", workers=self.workers, worker_cpus=self.worker_cpus)


@contextmanager
def workers_at(place: Place, name: str) -> Iterator["Workers"]:
    """What encodes shards by the encoder of that name."""
    if place.on == "local":
        from retr.encoders import load_encoder
        from retr.encoders.bulk.working import Here

        yield Here(load_encoder(name))
        return
    from retr.encoders.jobs import ray_workers

    with _ray_beside_the_answer(), ray_workers(name, place.settings) as workers:
        yield workers


@contextmanager
def _ray_beside_the_answer() -> Iterator[None]:
    """Ray prints that a machine was lost on standard output, where a command's answer stands alone."""
    with redirect_stdout(sys.stderr):
        yield


def read_by(encoder: "Described") -> str:
    """The tokens of a text that an encoder reads, as text."""
    return str(getattr(encoder, "max_tokens", None) or "?")


def counts_of(workers: "Workers") -> dict[str, int]:
    """How many workers there were, and how many were lost; nothing of this process itself."""
    from retr.encoders.jobs import JobWorkers

    return {"workers": workers.size, "workers_lost": workers.lost} if isinstance(workers, JobWorkers) else {}


@contextmanager
def filled_at(place: Place, collection: "Collection") -> Iterator[tuple["Collection", dict[str, Any]]]:
    """The collection with its passages encoded there, and what of `WriteSettings` should be so that all have work."""
    if place.on == "local":
        yield collection, {}
        return
    from retr.encoders.jobs import JobEncoder
    from retr.encoders.jobs.shards import ray_pool
    from retr.opening import load_encoder, open

    spec = _spec_of(collection)
    with _ray_beside_the_answer(), ray_pool(spec, place.settings) as pool:
        encoder = JobEncoder(load_encoder(spec), pool)
        yield open(collection.home, encoder=encoder), {"encode_passages": encoder.passages}


def _spec_of(collection: "Collection") -> str:
    """The one encoder of a collection, by name."""
    from retr.retrieval.errors import BadInput

    facts = collection.manifest.encoders
    if len(facts) != 1 or not facts[0].spec:
        has = f"{len(facts)} encoders" if len(facts) != 1 else "an encoder without a name"
        raise BadInput(f"--on ray needs an index with one encoder, by name; {collection.home!r} has {has}.")
    if facts[0].reads_images:
        raise BadInput(f"--on ray encodes texts; the encoder of {collection.home!r} reads images. Leave --on ray out.")
    return facts[0].spec

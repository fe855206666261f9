"""How long and how a disk is tried, and what a trial says."""

from dataclasses import dataclass, field

from retr.index.disk.fsio import Disk
from retr.retrieval.errors import BadInput
from retr.retrieval.kinds import resolve

PLAIN_DISK = "retr.index.disk.fsio:Disk"


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """`seconds` is about how long all trials take together; `disk` is the `Disk` that writers use, `module:class`."""

    seconds: float = 20.0
    seed: int = 7
    disk: str = PLAIN_DISK

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise BadInput(f"seconds is {self.seconds}; give a number above 0.")

    def made_disk(self) -> Disk:
        """The disk, made now."""
        made: Disk = resolve(self.disk, {}, "disk")()
        return made


@dataclass(slots=True)
class Outcome:
    """What a trial did, in words and numbers, and what did not hold."""

    name: str
    tried: str = ""
    counts: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether all of it held."""
        return not self.problems

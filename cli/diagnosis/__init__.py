"""What `retr doctor` looks at: each check gives findings, each finding says what to do where something is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from retr.retrieval.kinds import resolve

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `remedy` is empty where all is well."""

    name: str
    state: State
    detail: str
    remedy: str = ""


CHECKS: dict[str, str] = {
    "python": "retr.cli.diagnosis.machine:python",
    "system": "retr.cli.diagnosis.machine:system",
    "processor": "retr.cli.diagnosis.machine:processor",
    "cores": "retr.cli.diagnosis.machine:cores",
    "memory": "retr.cli.diagnosis.machine:memory",
    "disk": "retr.cli.diagnosis.machine:disk",
    "open files": "retr.cli.diagnosis.machine:open_files",
    "encoding": "retr.cli.diagnosis.machine:encoding",
    "cache": "retr.cli.diagnosis.machine:cache",
    "packages": "retr.cli.diagnosis.packages:required",
    "extras": "retr.cli.diagnosis.packages:optional",
    "clashes": "retr.cli.diagnosis.packages:clashes",
    "native": "retr.cli.diagnosis.native:libraries",
    "kernels": "retr.cli.diagnosis.kernels:encoder",
    "gpu": "retr.cli.diagnosis.gpu:gpus",
    "model": "retr.cli.diagnosis.models:default_model",
}
"""A check's name to `module:function`, a function without arguments that gives findings."""


def diagnose() -> Iterator[Finding]:
    """Run every check; one that fails itself is a finding, so that the others still run."""
    for name in CHECKS:
        try:
            yield from resolve(name, CHECKS, "check")()
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(
                name, "problem", f"the check failed: {text}", "Report this with the output of `retr doctor --json`."
            )

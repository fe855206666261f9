"""The process that parses for `isolation`: one JSON request a line on standard input, one JSON answer a line back."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retr.retrieval.corpus.report import Rejected, one_line
from retr.retrieval.kinds import resolve

PARSERS: dict[str, str] = {
    "pdf": "retr.retrieval.corpus.pdf:parse_pdf",
    "office": "retr.retrieval.corpus.office:parse_office",
}
"""A parser takes a path and the most characters to give, and returns a JSON object or raises Rejected."""

Parser = Callable[[Path, int], dict[str, Any]]


def main(memory: int) -> None:
    """Answer requests until standard input ends, as it does when the parent is no more; `memory` is in bytes."""
    _limit(memory)
    answers = os.fdopen(os.dup(1), "wb")
    # What a parser prints goes where its errors go.
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # Should the parent be killed while a file hangs, nobody else would end this process.
        signal.setitimer(signal.ITIMER_REAL, request["seconds"] + 1)
        answer = _answer(request["parser"], Path(request["path"]), request["limit"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _answer(name: str, path: Path, limit: int) -> dict[str, Any]:
    try:
        parser: Parser = resolve(name, PARSERS, "parser")
        return parser(path, limit)
    except Rejected as error:
        return {"rejected": str(error)}
    except MemoryError:
        # What is left of the memory may be in pieces: the parent starts another process.
        return {"rejected": "the parser ran out of memory", "exhausted": True}
    except OSError as error:
        return {"rejected": f"cannot be read: {one_line(error.strerror or error)}"}


def _limit(memory: int) -> None:
    import resource

    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        # Some systems know the limit and refuse to set it.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))

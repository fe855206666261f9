"""Where a server's log goes: standard error, warnings and worse, without texts or keys."""

import logging
import sys


def log_to_stderr() -> None:
    """Write this package's and the HTTP server's warnings to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("retr.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)

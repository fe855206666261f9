"""Quiet for what transformers prints while a model is read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def silent() -> Iterator[None]:
    """Without the bars and the notes on new weights that transformers prints."""
    from transformers.utils import logging as transformers_logging

    control: Any = transformers_logging
    shown, level = control.is_progress_bar_enabled(), control.get_verbosity()
    control.disable_progress_bar()
    control.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        control.set_verbosity(level)
        if shown:
            control.enable_progress_bar()

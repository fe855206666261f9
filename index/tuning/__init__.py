"""Recall against speed on a collection's own vectors: measured over kinds and settings, chosen, checked and written.

Nothing heavy is imported here.
"""

from retr.index.tuning.settings import TuneSettings

__all__ = ["TuneSettings"]

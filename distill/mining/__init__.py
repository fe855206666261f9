"""Hard negatives: texts that an index finds for a question and that do not answer it."""

from retr.distill.mining.mining import Mining, mine
from retr.distill.mining.settings import MiningSettings

__all__ = ["Mining", "MiningSettings", "mine"]

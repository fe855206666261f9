"""Which of several systems is better over the same queries, and whether the difference is more than chance."""

from retr.retrieval.evaluation.significance.comparing import Comparison, Pair, compare
from retr.retrieval.evaluation.significance.settings import CompareSettings

__all__ = ["CompareSettings", "Comparison", "Pair", "compare"]

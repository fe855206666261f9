"""Pairs out of texts that nobody has labelled: a sentence asks, and the text around it or beside it answers."""

from retr.distill.pairs.making import Counts, Pair, make_pairs
from retr.distill.pairs.settings import METHODS, PairSettings

__all__ = ["METHODS", "Counts", "Pair", "PairSettings", "make_pairs"]

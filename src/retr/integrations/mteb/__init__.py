"""The bridge to MTEB, the Massive Text Embedding Benchmark: encoders, scorers and whole collections as its models.

`mteb.evaluate(MtebEncoder(encoder), tasks)`. Written for mteb 2.26; nothing of it is imported before it runs a task.
"""

from retr.integrations.mteb.choosing import to_mteb
from retr.integrations.mteb.collection import MtebCollection
from retr.integrations.mteb.encoder import MtebEncoder
from retr.integrations.mteb.reranker import MtebReranker

__all__ = ["MtebCollection", "MtebEncoder", "MtebReranker", "to_mteb"]

"""Dense vectors of a segment: how they are stored, the FAISS index beside them, and the search over both.

Nothing heavy is imported here.
"""

from retr.index.dense.flat import FlatIndex

__all__ = ["FlatIndex"]

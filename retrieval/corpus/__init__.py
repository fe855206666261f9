"""Reading real input: files, folders and streams to documents, with every problem named by file and line."""

from retr.retrieval.corpus.formats import READERS
from retr.retrieval.corpus.queries import read_queries
from retr.retrieval.corpus.reading import read_documents, total_bytes
from retr.retrieval.corpus.report import Problem, ReadReport
from retr.retrieval.corpus.settings import ReadSettings

__all__ = ["READERS", "Problem", "ReadReport", "ReadSettings", "read_documents", "read_queries", "total_bytes"]

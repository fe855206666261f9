"""Retrieve and answer with LlamaIndex: a query engine around a retriever over an index folder."""

import sys

from llama_index.core.query_engine import CustomQueryEngine
from quoting import Passage, quote

from retr.integrations.llamaindex import RetrRetriever


class QuotingEngine(CustomQueryEngine):
    """A question to an answer."""

    retriever: RetrRetriever

    def custom_query(self, query_str: str) -> str:
        """Retrieve, then write."""
        found = self.retriever.retrieve(query_str)
        return quote(query_str, [Passage(one.node.node_id, one.node.get_content()) for one in found])


def make_engine(index: str, k: int = 3) -> QuotingEngine:
    """Over an index folder."""
    return QuotingEngine(retriever=RetrRetriever(index, similarity_top_k=k))


if __name__ == "__main__":
    print(make_engine(sys.argv[1]).query(sys.argv[2]))

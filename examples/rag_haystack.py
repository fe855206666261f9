"""Retrieve and answer with Haystack: a pipeline of a retriever over an index folder and a component that writes."""

import os
import sys

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")

from haystack import Document, Pipeline, component
from quoting import Passage, quote

from retr.integrations.haystack import RetrDocumentStore, RetrHybridRetriever


@component
class QuotingGenerator:
    """Documents and a question to an answer."""

    @component.output_types(answer=str)
    def run(self, question: str, documents: list[Document]) -> dict[str, str]:
        """Write."""
        return {"answer": quote(question, [Passage(each.id, each.content or "") for each in documents])}


def make_pipeline(index: str, k: int = 3) -> Pipeline:
    """Over an index folder."""
    pipeline = Pipeline()
    pipeline.add_component("retriever", RetrHybridRetriever(RetrDocumentStore(index), top_k=k))
    pipeline.add_component("generator", QuotingGenerator())
    pipeline.connect("retriever.documents", "generator.documents")
    return pipeline


def answer(pipeline: Pipeline, question: str) -> str:
    """The answer to a question."""
    done = pipeline.run({"retriever": {"query": question}, "generator": {"question": question}})
    return str(done["generator"]["answer"])


if __name__ == "__main__":
    print(answer(make_pipeline(sys.argv[1]), sys.argv[2]))

"""Retrieve and answer with LangChain: a retriever over an index folder, then whatever writes the answer."""

import sys

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from quoting import Passage, quote

from retr.integrations.langchain import RetrRetriever


def make_chain(index: str, k: int = 3) -> Runnable[str, str]:
    """A question to an answer."""
    found = RunnableParallel(question=RunnablePassthrough(), documents=RetrRetriever(path=index, k=k))
    return found | RunnableLambda(_answer)


def _answer(found: dict[str, object]) -> str:
    documents = found["documents"]
    assert isinstance(documents, list)
    return quote(str(found["question"]), [_passage(document) for document in documents])


def _passage(document: Document) -> Passage:
    return Passage(str(document.id), document.page_content)


if __name__ == "__main__":
    print(make_chain(sys.argv[1]).invoke(sys.argv[2]))

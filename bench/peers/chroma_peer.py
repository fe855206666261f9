"""Chroma's persistent client, with its own sentence-transformers embedding function and cosine distance."""

from typing import Any

import protocol


def index(job: protocol.Job, texts: dict[str, str]) -> protocol.Answers:
    """Add the texts in the largest batches that the client takes."""
    client, embed = opened(job)
    collection = client.create_collection("docs", embedding_function=embed, configuration={"hnsw": {"space": "cosine"}})
    ids, documents, size = list(texts), list(texts.values()), client.get_max_batch_size()
    for start in range(0, len(ids), size):
        collection.add(ids=ids[start : start + size], documents=documents[start : start + size])
    return answer(job, collection)


def search(job: protocol.Job) -> protocol.Answers:
    """Open the collection that is on disk."""
    client, embed = opened(job)
    return answer(job, client.get_collection("docs", embedding_function=embed))


def opened(job: protocol.Job) -> tuple[Any, Any]:
    """Client and embedding function."""
    import chromadb
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

    embed = SentenceTransformerEmbeddingFunction(model_name=job["model"], device="cpu")
    return chromadb.PersistentClient(path=job["index"]), embed


def answer(job: protocol.Job, collection: Any) -> protocol.Answers:
    """The k best texts a query; the score is 1 less the distance."""
    answers = {}
    for query in job["queries"]:
        found = collection.query(query_texts=[query["text"]], n_results=job["k"])
        answers[query["id"]] = [
            (id, 1 - distance) for id, distance in zip(found["ids"][0], found["distances"][0], strict=True)
        ]
    return answers


if __name__ == "__main__":
    protocol.main(index, search)

"""txtai with its content store, saved and loaded.

`maxlength=True` makes it cut texts where the model's own settings say (256 tokens); its default would read the
tokenizer's 512 here, and so do more work than the others.
"""

from typing import Any

import protocol


def index(job: protocol.Job, texts: dict[str, str]) -> protocol.Answers:
    """Index the texts by id and save."""
    from txtai import Embeddings

    embeddings = Embeddings(path=job["model"], content=True, maxlength=True, gpu=False)
    embeddings.index((id, text, None) for id, text in texts.items())
    embeddings.save(job["index"])
    return answer(job, embeddings)


def search(job: protocol.Job) -> protocol.Answers:
    """Load what was saved."""
    from txtai import Embeddings

    embeddings = Embeddings()
    embeddings.load(job["index"])
    return answer(job, embeddings)


def answer(job: protocol.Job, embeddings: Any) -> protocol.Answers:
    """The k best texts a query."""
    return {
        query["id"]: [(row["id"], float(row["score"])) for row in embeddings.search(query["text"], job["k"])]
        for query in job["queries"]
    }


if __name__ == "__main__":
    protocol.main(index, search)

"""sentence-transformers and FAISS by hand: the script that people write first, with the defaults of both."""

import json
from pathlib import Path
from typing import Any

import protocol


def index(job: protocol.Job, texts: dict[str, str]) -> protocol.Answers:
    """Encode, put into an exact inner-product index, save it and the texts."""
    import faiss
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(job["model"], device="cpu")
    vectors = model.encode(list(texts.values()))
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    folder = Path(job["index"])
    folder.mkdir(parents=True)
    faiss.write_index(flat, str(folder / "index.faiss"))
    (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    return answer(job, model, flat, list(texts))


def search(job: protocol.Job) -> protocol.Answers:
    """Load the model, the index and the texts, as an answer that shows its text must."""
    import faiss
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(job["model"], device="cpu")
    folder = Path(job["index"])
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    return answer(job, model, faiss.read_index(str(folder / "index.faiss")), list(texts))


def answer(job: protocol.Job, model: Any, flat: Any, ids: list[str]) -> protocol.Answers:
    """The k best texts a query."""
    answers = {}
    for query in job["queries"]:
        scores, rows = flat.search(model.encode([query["text"]]), job["k"])
        answers[query["id"]] = [
            (ids[row], float(score)) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0
        ]
    return answers


if __name__ == "__main__":
    protocol.main(index, search)

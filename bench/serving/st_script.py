"""The server that people write themselves: FastAPI and sentence-transformers, and a flat FAISS index, in one file.

    python bench/serving/st_script.py PORT MODEL CORPUS VECTORS

CORPUS is JSONL, VECTORS the .npy of its texts' vectors. Endpoints are plain functions, which FastAPI runs in threads.
"""

import json
import sys
from pathlib import Path

import faiss
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

PORT, MODEL, CORPUS, VECTORS = sys.argv[1:]

app = FastAPI()
model = SentenceTransformer(MODEL, device="cpu")
documents = [json.loads(line) for line in Path(CORPUS).read_text(encoding="utf-8").splitlines()]
vectors = np.load(VECTORS)
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)


class Texts(BaseModel):
    """OpenAI's request, as far as the load uses it."""

    input: list[str]
    model: str = ""


class Asked(BaseModel):
    """A search."""

    query: str
    k: int = 10


@app.get("/ready")
def ready() -> dict[str, bool]:
    """Up."""
    return {"ready": True}


@app.post("/v1/embeddings")
def embeddings(body: Texts) -> dict[str, object]:
    """One vector a text."""
    found = model.encode(body.input, normalize_embeddings=True, show_progress_bar=False)
    return {"data": [{"index": place, "embedding": row.tolist()} for place, row in enumerate(found)]}


@app.post("/v1/search")
def search(body: Asked) -> dict[str, object]:
    """The k nearest documents, with their texts."""
    query = model.encode([body.query], normalize_embeddings=True, show_progress_bar=False)
    scores, rows = index.search(query, body.k)
    hits = [
        {"id": documents[row]["_id"], "score": float(score), "text": documents[row]["text"]}
        for score, row in zip(scores[0], rows[0], strict=True)
    ]
    return {"hits": hits}


if __name__ == "__main__":
    uvicorn.run(app, port=int(PORT), log_level="warning")

"""Texts a CPU second of sentence-transformers' StaticEmbedding: a job's path in, its CPU seconds out as JSON.

The job is a JSON object: `model` (a folder), `texts` (name to list of texts), `repeats`.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Encode every list as often as asked; print the least CPU seconds of each."""
    from sentence_transformers import SentenceTransformer

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    model = SentenceTransformer(job["model"], device="cpu", local_files_only=True)
    found = {}
    for name, texts in job["texts"].items():
        best = float("inf")
        for _ in range(job["repeats"]):
            started = time.process_time()
            model.encode(texts, batch_size=256)
            best = min(best, time.process_time() - started)
        found[name] = best
    print(json.dumps(found))


if __name__ == "__main__":
    main()

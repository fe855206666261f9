"""What every adapter of this folder understands: a JSON job in a file, named by its argument; a JSON answer on stdout.

job     {"action": "index" | "search", "source", "index", "model", "k", "queries": [{"id", "text"}]}
answer  {"answers": {query id: [[document id, score], …]}, "texts": number of texts encoded}

`index` makes the index, saves it, and answers the queries in the same process, as a script by hand would. `search` is
a new process that opens what was saved. Nothing heavy is imported here.
"""

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Job = dict[str, Any]
Answers = dict[str, list[tuple[str, float]]]

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
}


def read_texts(source: Path) -> dict[str, str]:
    """Texts by id: of a BEIR folder `title text`, of any other folder its .txt files."""
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if (source / name).exists():
            opener = gzip.open if name.endswith(".gz") else open
            with opener(source / name, "rt", encoding="utf-8") as lines:
                return {row["_id"]: f"{row['title']} {row['text']}" for row in map(json.loads, lines)}
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(source.glob("*.txt"))}


def main(index: Callable[[Job, dict[str, str]], Answers], search: Callable[[Job], Answers]) -> None:
    """Do the job of the file on the command line."""
    os.environ.update(QUIET)
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    texts: dict[str, str] = {}
    if job["action"] == "index":
        texts = read_texts(Path(job["source"]))
        answers = index(job, texts)
    else:
        answers = search(job)
    print(json.dumps({"answers": answers, "texts": len(texts)}))

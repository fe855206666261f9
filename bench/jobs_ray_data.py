"""The pipeline that Ray's documentation shows for embeddings, with retr's encoder in it; bench/jobs.py runs it.

    python bench/jobs_ray_data.py TEXTS OUT --workers 2 --worker-cpus 1 --batch 500

`ray.data.read_text`, `map_batches` with one encoder for each actor of a pool, `write_parquet`: what `retr encode --on
ray` could have been. `vectors_of` reads its files, so that what it wrote is compared with what `retr encode` writes.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Encoding:
    """One actor's encoder: a batch with its vectors."""

    def __init__(self, threads: int) -> None:
        os.environ["RETR_THREADS"] = str(threads)
        from retr.encoders import load_encoder

        self._encoder = load_encoder("all-MiniLM-L6-v2")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of columns, one more than before."""
        return {**batch, "vector": self._encoder.encode_documents(batch["text"].tolist()).values}


def main() -> None:
    """Run it in a Ray for this run alone, as `retr encode --on ray` has one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--worker-cpus", type=int, default=2)
    parser.add_argument("--batch", type=int, default=500, help="texts of a batch")
    args = parser.parse_args()
    os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # A pool of actors that takes every core leaves none to read and write with, and nothing would ever begin.
    cores = args.workers * args.worker_cpus + 1
    ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    texts = ray.data.read_text(str(args.texts.resolve()))
    encoded = texts.map_batches(
        Encoding,
        fn_constructor_args=(args.worker_cpus,),
        batch_size=args.batch,
        num_cpus=args.worker_cpus,
        compute=ray.data.ActorPoolStrategy(size=args.workers),
    )
    encoded.write_parquet(str(args.out.resolve()))
    given = len(args.texts.read_text(encoding="utf-8").splitlines())
    ray.shutdown()
    json.dump({"texts": given, "encoded": len(vectors_of(args.out)[0])}, sys.stdout)


def vectors_of(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    """All texts that were written and their vectors [texts, dim], in the order of the files' names."""
    from pyarrow import parquet

    table = parquet.read_table(folder, columns=["text", "vector"])
    vectors = table["vector"].combine_chunks()
    numbers = getattr(vectors, "storage", vectors).flatten().to_numpy()  # Ray's own type, where Ray is imported
    return table["text"].to_pylist(), numbers.reshape(len(table), -1)


if __name__ == "__main__":
    main()

"""Share of a GPU's matrix peak that encoding reaches: retr by torch and by ONNX Runtime, and sentence-transformers.

    python bench/encode_gpu.py [--shapes minilm bert-base] [--tokens 150 24] [--texts 20000] [--peak TFLOPS]

Models have random weights, so nothing is downloaded; torch and transformers must be installed, sentence-transformers
and onnxruntime-gpu are compared where they are. All take the same texts, in turn, and the best of the repeats counts.
On a machine without a GPU, `--device cpu --shapes tiny --texts 20` only shows that it runs.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import recording
import torch
from numpy.typing import NDArray
from tables import Table, number

from retr.encoders.on_torch.batches import pooled_vectors
from retr.encoders.on_torch.compute import Compute
from retr.encoders.on_torch.network import open_torch
from retr.encoders.running.pooling import pool, unit
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import RetrError

Encode = Callable[[list[str]], Floats]

VOCABULARY, LONGEST = 30_000, 512
CHECKED = 200
"""Texts whose vectors are compared with float32 on the same device."""

PEAKS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "A10": 125, "T4": 65, "V100": 125}
"""Dense float16 TFLOP/s that the makers state, by what the device's name holds; the first that matches."""

COLUMNS = [
    "run",
    "texts/s",
    "tokens/s",
    "TFLOP/s",
    "of measured peak",
    "of stated peak",
    "relative error",
    "min cosine",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """A BERT: layers, width, heads, width of the feed-forward part."""

    layers: int
    dim: int
    heads: int
    wide: int

    def flops(self, lengths: NDArray[np.int64]) -> float:
        """Multiplications and additions of texts of these lengths, no padding counted: products of matrices alone."""
        per_token = self.layers * (8 * self.dim**2 + 4 * self.dim * self.wide)
        pairs = self.layers * 4 * self.dim * float((lengths.astype(np.float64) ** 2).sum())
        return per_token * float(lengths.sum()) + pairs


SHAPES = {
    "minilm": Shape(6, 384, 12, 1536),
    "bert-base": Shape(12, 768, 12, 3072),
    "tiny": Shape(2, 32, 2, 64),
}


def main() -> None:
    """Measure, print, record."""
    args = arguments()
    warnings.simplefilter("ignore")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    place = Compute(args.device, args.precision).place()
    peak = matrix_peak(place.device, place.dtype, args.peak_size)
    name = torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else "CPU"
    stated = args.peak or next((value for known, value in PEAKS.items() if known in name), None)
    print(f"{name}: {peak:,.1f} TFLOP/s measured in {place.precision}, {stated or '-'} stated", flush=True)
    rows = [row for shape in args.shapes for row in measured(shape, args, (peak, stated))]
    table = Table(COLUMNS, rows)
    print(table.markdown())
    result = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine() | {"device": name, "peak_tflops": round(peak, 1), "stated_tflops": stated},
        "versions": recording.versions(
            sys.executable, ["torch", "transformers", "sentence-transformers", "onnxruntime-gpu"]
        ),
        "tables": [table.json()],
    }
    if args.results:
        print(recording.record("encode-gpu", result, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["minilm", "bert-base"])
    parser.add_argument("--tokens", nargs="+", type=int, default=[150, 24], help="mean tokens of a text")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[32, 256], help="of sentence-transformers")
    parser.add_argument("--peak", type=float, help="the maker's dense TFLOP/s in this precision")
    parser.add_argument("--peak-size", type=int, default=8192, help="rows and columns of the matrices for the peak")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    return parser.parse_args()


def matrix_peak(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """TFLOP/s of a square product that is large enough, the best of ten."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = min(timed(lambda: left @ right, device) for _ in range(10))
    return 2 * size**3 / seconds / 1e12


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Wall seconds until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measured(name: str, args: argparse.Namespace, peaks: tuple[float, float | None]) -> Iterator[list[str]]:
    """A row for each system and mean length, all systems in turn on the same texts."""
    device = Compute(args.device).place().device
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = write_model(Path(folder), SHAPES[name], args.seed)
        systems, exact = systems_of(Path(folder), tokenizer, args)
        for tokens in args.tokens:
            texts = texts_of(args.texts, tokens, args.seed)
            lengths = np.array([len(one.ids) for one in tokenizer.encode_batch(texts)])
            best: dict[str, float] = {}
            for _ in range(args.repeats + 1):  # the first warms up and counts only where it is the fastest
                for system, encode in systems.items():
                    seconds = timed(lambda encode=encode, texts=texts: encode(texts), device)
                    best[system] = min(seconds, best.get(system, seconds))
            truth = exact(texts[:CHECKED])
            for system, encode in systems.items():
                vectors = encode(texts[:CHECKED])
                rate = SHAPES[name].flops(lengths) / best[system] / 1e12
                yield [
                    f"{name}, {lengths.mean():.0f} tokens: {system}",
                    number(len(texts) / best[system], 0),
                    number(lengths.sum() / best[system], 0),
                    number(rate, 2),
                    f"{rate / peaks[0]:.1%}",
                    f"{rate / peaks[1]:.1%}" if peaks[1] else "-",
                    f"{np.linalg.norm(vectors - truth, axis=1).max():.1e}",
                    f"{(vectors * truth).sum(axis=1).min():.6f}",
                ]


def texts_of(count: int, tokens: int, seed: int) -> list[str]:
    """Texts of random words, their lengths log-normal around the mean as passages' are."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(np.log(tokens) - 0.125, 0.5, count), 3, LONGEST).astype(int) - 2
    return [" ".join(f"w{word}" for word in random.integers(0, VOCABULARY - 5, length)) for length in lengths]


def write_model(folder: Path, shape: Shape, seed: int) -> Any:
    """A sentence-transformers folder of random weights, mean pooling, unit length; its tokenizer, a token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {word: row for row, word in enumerate([*special, *(f"w{n}" for n in range(VOCABULARY - 5))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.wide,
        max_position_embeddings=LONGEST,
        initializer_range=0.05,
    )
    BertModel(config).save_pretrained(folder)
    names = {f"{name.strip('[]').lower()}_token": name for name in special}
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    written = {
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LONGEST, **names},
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": LONGEST, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": shape.dim, "pooling_mode_mean_tokens": True},
    }
    for name, content in written.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return tokenizer


def systems_of(folder: Path, tokenizer: Any, args: argparse.Namespace) -> tuple[dict[str, Encode], Encode]:
    """What is measured, by name, each from texts to unit vectors; and float32 by torch, which they are held against."""
    network = open_torch(folder, classifier=False, compute=Compute(args.device, args.precision))
    whole = open_torch(folder, classifier=False, compute=Compute(args.device, "float32"))

    def ids(texts: list[str]) -> list[NDArray[np.int64]]:
        return [np.array(one.ids, np.int64) for one in tokenizer.encode_batch(texts)]

    kind = network.placement.precision
    systems: dict[str, Encode] = {
        f"retr, torch {kind}, packed": lambda texts: unit(pooled_vectors(network, ids(texts), ["mean"])),
        "retr, torch float32, packed": lambda texts: unit(pooled_vectors(whole, ids(texts), ["mean"])),
    }
    systems |= sentence_transformers(folder, network.placement, args) | onnx_runtime(folder, ids, args)
    return systems, lambda texts: unit(pooled_vectors(whole, ids(texts), ["mean"]))


def sentence_transformers(folder: Path, placement: Any, args: argparse.Namespace) -> dict[str, Encode]:
    """sentence-transformers in the same precision, with each of its batch sizes."""
    if find_spec("sentence_transformers") is None:
        return {}
    from sentence_transformers import SentenceTransformer

    options = {"dtype": placement.dtype}
    model = SentenceTransformer(str(folder), device=str(placement.device), local_files_only=True, model_kwargs=options)

    def encode(texts: list[str], size: int) -> Floats:
        return np.asarray(model.encode(texts, batch_size=size, normalize_embeddings=True), np.float32)

    return {
        f"sentence-transformers {placement.precision}, batches of {size}": lambda texts, size=size: encode(texts, size)
        for size in args.batch_sizes
    }


def onnx_runtime(folder: Path, ids: Any, args: argparse.Namespace) -> dict[str, Encode]:
    """retr's own float16 ONNX file under ONNX Runtime's CUDA provider, texts of equal length together."""
    from retr.encoders.exporting.portable import write_portable
    from retr.encoders.reading.families import read_transformer
    from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
    from retr.encoders.running.devices import TOKENS_A_RUN, open_on_device
    from retr.encoders.running.network import open_file
    from retr.encoders.running.session import equal_lengths

    config = json.loads((folder / "config.json").read_text())
    file = folder / "model_fp16.onnx"
    try:
        write_portable(file, read_transformer(read_safetensors(weight_files(folder)), config), None, floats="float16")
        network = open_file(file, classifier=False, session=open_on_device(file, args.device))
    except RetrError as error:
        print(f"ONNX Runtime is left out: {error}", flush=True)
        return {}

    def encode(texts: list[str]) -> Floats:
        tokens = ids(texts)
        out = np.empty((len(texts), config["hidden_size"]), np.float32)
        for rows in equal_lengths([len(one) for one in tokens], TOKENS_A_RUN):
            batch = np.stack([tokens[row] for row in rows])
            out[rows] = pool(np.asarray(network(batch, np.zeros_like(batch)), np.float32), ["mean"])
        return unit(out)

    return {"retr, ONNX Runtime float16, equal lengths": encode}


if __name__ == "__main__":
    main()

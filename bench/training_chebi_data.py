"""ChEBI-20's descriptions and molecules, and a small model that begins with nothing: for training_chebi.py.

A molecule is its SMILES, cut into atoms, bonds and rings, with a space between: letters are as they stand, since a
small one is of an aromatic ring. So the tokenizer keeps the case; no model that was trained on English does.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieval_sets import data_root

ATOMS = re.compile(r"\[[^\]]+\]|Br|Cl|%\d\d|.")
PIECES = r"\[[^\]\s]+\]|[A-Za-z]+|\d|[^\sA-Za-z\d]"
"""A text's words, digits and signs, and a molecule's atoms in brackets as a whole."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY, LONGEST = 3000, 96


def prepare(folder: Path) -> Mapping[str, Any]:
    """Write `train.jsonl` and `test.jsonl`, unless they are there; how many there are."""
    done = folder / "data.json"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        train, test = list(_rows("dev")), list(_rows("test"))
        known = {row["positive"] for row in train}
        fresh = [row for row in test if row["positive"] not in known]
        for name, rows in (("train", train), ("test", fresh)):
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        told = {"train": len(train), "test": len(fresh), "left_out": len(test) - len(fresh)}
        done.write_text(json.dumps(told), encoding="utf-8")
    return dict(json.loads(done.read_text(encoding="utf-8")))


def _rows(split: str) -> Iterator[dict[str, str]]:
    """Each molecule once, with its description."""
    seen: set[str] = set()
    with (data_root() / "chebi20" / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            smiles = " ".join(ATOMS.findall(row["smiles"]))
            if smiles not in seen:
                seen.add(smiles)
                yield {"id": row["cid"], "query": row["description"], "positive": smiles}


def make_start(folder: Path, rows: Sequence[Mapping[str, str]], *, width: int, layers: int, seed: int) -> Path:
    """A BERT drawn from the seed, and a tokenizer of what is trained on; made once. Gives the folder."""
    if folder.exists():
        return folder
    import torch
    from transformers import BertConfig, BertModel

    unfinished = folder.with_suffix(".tmp")
    unfinished.mkdir(parents=True, exist_ok=True)
    tokens = _write_tokenizer(unfinished, [text for row in rows for text in (row["query"], row["positive"])])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
        model = BertModel(
            BertConfig(vocab_size=tokens, num_attention_heads=4, max_position_embeddings=LONGEST, **shape)
        )
        model.save_pretrained(str(unfinished))
    unfinished.replace(folder)
    return folder


def _write_tokenizer(folder: Path, texts: Sequence[str]) -> int:
    """tokenizer.json, with words cut into parts that are often seen; how many entries it has."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers

    made: Any = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "removed", invert=True)
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=list(SPECIAL), show_progress=False)
    made.train_from_iterator(texts, trainer)
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.save(str(folder / "tokenizer.json"))
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LONGEST, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return int(made.get_vocab_size())

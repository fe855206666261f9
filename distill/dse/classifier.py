"""The teacher: a cross-encoder with one logit for each class, as it answers, without torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.distill.dse.tasks import Task
from retr.distill.labelling.teachers import Question
from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.reading.families import Head
from retr.encoders.reading.folder import max_tokens, read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import read_tokenizer, tokenize
from retr.encoders.running.network import ClassifyingNetwork, Network
from retr.encoders.running.session import equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import NotFound

UNSAID = 2
"""Labels of a config.json that names none."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassifierTeacher:
    """A `Teacher` of a task: its logits, brought to the task's outputs."""

    name: str
    task: Task
    network: Network
    head: Head | None
    tokenizer: Any
    labels: int
    identity: Mapping[str, Any]
    comparable: bool = True

    @property
    def width(self) -> int:
        """Numbers a pair."""
        return self.task.outputs

    @property
    def fingerprint(self) -> str:
        """sha256 of all that the logits depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def answer(self, questions: Sequence[Question]) -> list[Floats]:
        """For each question float32 [texts, width]."""
        pairs = [(question.query, text) for question in questions for text in question.texts]
        found = self.task.targets(self.logits(pairs))
        ends = np.cumsum([len(question.texts) for question in questions])
        return np.split(found, ends[:-1]) if questions else []

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """float32 [pairs, labels], the pairs of all questions together. Too long ones lose of their longer half."""
        encodings = tokenize(self.tokenizer, list(pairs))
        if isinstance(self.network, ClassifyingNetwork):
            numbers = [np.array(encoding.ids) for encoding in encodings]
            return self.network.logits(numbers, [np.array(pair.type_ids) for pair in encodings])

        def work(rows: list[int]) -> Floats:
            ids = np.array([encodings[row].ids for row in rows], np.int64)
            segments = np.array([encodings[row].type_ids for row in rows], np.int64)
            states = self.network(ids, segments)
            return states if self.head is None else self.head(states[:, 0])

        runs = equal_lengths([len(encoding.ids) for encoding in encodings], self.network.budget)
        return on_all_cores(runs, work, np.empty((len(encodings), self.labels), np.float32))


def load_classifier(source: str, task: Task, device: str = "") -> ClassifierTeacher:
    """The teacher of a sequence-classification folder, of any number of labels that the task can be read from."""
    from retr.encoders.running.opening import open_network

    path = Path(source.partition("=")[2] or source).expanduser()
    if not path.is_dir():
        raise NotFound(f"No folder {str(path)!r} of a pair classifier. Give one, or an encoder's and [teaching].")
    with reading(path):
        config = read_json(path / "config.json")
        told = read_json(path / "sentence_bert_config.json", missing={})
        most = max_tokens(path, config, told.get("max_seq_length"))
        lowercase = bool(told.get("do_lower_case", False))
        tokenizer, tokenizer_hash = read_tokenizer(path, most, lowercase=lowercase)
        opened = open_network(path, config, classifier=True, device=device)
        identity = {
            "weights": hashes(path, opened.files), "tokenizer": tokenizer_hash, "precision": opened.precision,
            "builder": BUILDER, "max_tokens": most, "task": task.name,
        }  # fmt: skip
    labels = len(config.get("id2label") or range(UNSAID))
    teacher = ClassifierTeacher(source, task, opened.network, opened.head, tokenizer, labels, identity)
    teacher.answer([Question("a", ("b",))])  # one of another task is refused here
    return teacher

"""Teachers of pairs: any scorer, the similarity of any encoder, several of them averaged, on a scale of choice."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Protocol

import numpy as np

from retr.encoders import ENCODERS, SCORERS, load_encoder, load_scorer
from retr.encoders.running.session import threads
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.kinds import Spec, resolve
from retr.retrieval.protocols import Encoder, Scorer

Scale = Literal["raw", "sigmoid", "clip"]


@dataclass(frozen=True, slots=True)
class Question:
    """A query and the texts that are to be scored with it."""

    query: str
    texts: tuple[str, ...]


class Teacher(Protocol):
    """What labels pairs. `width` is how many numbers a pair gets: 1, or one for each class of a classifier."""

    @property
    def name(self) -> str:
        """As the user named it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, its labels may."""
        ...

    @property
    def width(self) -> int:
        """Numbers a pair."""
        ...

    @property
    def comparable(self) -> bool:
        """Whether a pair's label does not depend on the other texts of its question."""
        ...

    def answer(self, questions: Sequence[Question]) -> list[Floats]:
        """For each question float32 [texts, width]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ScorerTeacher:
    """A scorer's own scores, such as a cross-encoder's logits."""

    name: str
    scorer: Scorer
    width: int = 1

    @property
    def fingerprint(self) -> str:
        """The scorer's."""
        return self.scorer.fingerprint

    @property
    def comparable(self) -> bool:
        """The scorer's."""
        return self.scorer.comparable

    def answer(self, questions: Sequence[Question]) -> list[Floats]:
        """Questions of few texts leave cores idle one by one, so as many are asked at once as there are cores."""

        def ask(question: Question) -> Floats:
            found = np.asarray(self.scorer.score(question.query, question.texts), np.float32)
            if found.shape != (len(question.texts),):
                raise Mismatch(
                    f"{self.name} gave scores of shape {list(found.shape)} for {len(question.texts)} texts; one is due."
                )
            return found[:, None]

        with ThreadPoolExecutor(threads(), thread_name_prefix="retr-teacher") as pool:
            return list(pool.map(ask, questions))


@dataclass(frozen=True, slots=True, eq=False)
class EncoderTeacher:
    """The similarity of an encoder's vectors: its cosine, or its inner product where that is what it is trained for."""

    name: str
    encoder: Encoder
    width: int = 1
    comparable: bool = True

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self.encoder.fingerprint

    def answer(self, questions: Sequence[Question]) -> list[Floats]:
        """Each different text of the call is encoded once."""
        queries = list(dict.fromkeys(question.query for question in questions))
        texts = list(dict.fromkeys(text for question in questions for text in question.texts))
        left, right = vectors_of(self.encoder, queries, "queries"), vectors_of(self.encoder, texts, "documents")
        rows, columns = ({text: row for row, text in enumerate(some)} for some in (queries, texts))
        return [
            np.asarray(right[[columns[text] for text in question.texts]] @ left[rows[question.query]])[:, None]
            for question in questions
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """The mean of several teachers' labels, each brought to `scale` before."""

    teachers: tuple[Teacher, ...]
    scale: Scale = "raw"

    def __post_init__(self) -> None:
        widths = {teacher.width for teacher in self.teachers}
        if len(widths) != 1:
            raise BadInput(f"Teachers of {sorted(widths)} numbers a pair cannot be averaged. Give at least one, alike.")

    @property
    def name(self) -> str:
        """The names, in order."""
        return " + ".join(teacher.name for teacher in self.teachers)

    @property
    def fingerprint(self) -> str:
        """Of all teachers whatever their order, and the scale."""
        alone = sorted(teacher.fingerprint for teacher in self.teachers)
        return sha256("/".join([self.scale, *alone]).encode()).hexdigest()

    @property
    def width(self) -> int:
        """Numbers a pair."""
        return self.teachers[0].width

    @property
    def comparable(self) -> bool:
        """Whether all of them are."""
        return all(teacher.comparable for teacher in self.teachers)

    def answer(self, questions: Sequence[Question]) -> list[Floats]:
        """For each question the mean over teachers."""
        answers = [teacher.answer(questions) for teacher in self.teachers]
        scaled = SCALES[self.scale]
        return [
            np.mean([scaled(one.astype(np.float64)) for one in each], axis=0).astype(np.float32)
            for each in zip(*answers, strict=True)
        ]


def _sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def _clip(values: Any) -> Any:
    return np.clip(values, 0, 1)


SCALES: dict[Scale, Callable[[Any], Any]] = {"raw": lambda values: values, "sigmoid": _sigmoid, "clip": _clip}
"""`sigmoid` makes a logit a share; `clip` keeps a cosine in [0, 1], below which a soft cross-entropy has no bound."""


def open_teacher(spec: str) -> Teacher:
    """The teacher of `KIND=SOURCE`, any kind of scorer or encoder, or of a folder, which tells its kind."""
    kind = teacher_kind(spec)
    source = spec.partition("=")[2] or spec
    if kind in SCORERS:
        return ScorerTeacher(spec, load_scorer(f"{kind}={source}"))
    if kind in ENCODERS:
        return EncoderTeacher(spec, load_encoder(f"{kind}={source}"))
    return _of_users(spec)


def teacher_kind(spec: str) -> str:
    """The kind that a spec names, or that its folder is of; a transformers classifier is of the kind cross."""
    if "=" in spec:
        return Spec.parse(spec, default_kind="bi").kind
    from pathlib import Path

    from retr.encoders.reading.folder import read_json
    from retr.encoders.reading.kinds import kind_of

    kind = kind_of(spec, {**SCORERS, **ENCODERS}, "bi")
    if kind != "bi":
        return kind
    told = read_json(Path(spec).expanduser() / "config.json", missing={}).get("architectures") or ()
    return "cross" if any("SequenceClassification" in str(name) for name in told) else "bi"


def vectors_of(encoder: Encoder, texts: Sequence[str], side: Literal["queries", "documents"]) -> Floats:
    """float32 [texts, dim] of one side; BadInput for an encoder of one vector a token."""
    found = encoder.encode_queries(texts) if side == "queries" else encoder.encode_documents(texts)
    if not isinstance(found, Vectors):
        raise BadInput("This encoder gives one vector a token; a teacher of pairs gives one a text. Take another.")
    return found.values


def _of_users(spec: str) -> Teacher:
    """A user's own class, `module:attribute=SOURCE`: a scorer or an encoder by its methods."""
    parsed = Spec.parse(spec, default_kind="bi")
    made = resolve(parsed.kind, {**ENCODERS, **SCORERS}, "teacher")(parsed.source)
    if isinstance(made, Scorer):
        return ScorerTeacher(spec, made)
    if isinstance(made, Encoder):
        return EncoderTeacher(spec, made)
    raise BadInput(f"{spec!r} is neither a scorer nor an encoder: it has no method score, and no encode_queries.")

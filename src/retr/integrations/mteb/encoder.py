"""An encoder as MTEB's EncoderProtocol: for retrieval, similarity, classification, clustering and the other tasks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from retr.integrations.mteb.facts import Facts, name_of
from retr.integrations.mteb.texts import Batch, texts_in
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch, unknown
from retr.retrieval.protocols import Encoder, TokenAware
from retr.retrieval.scoring import SIMILARITIES

Side = Literal["queries", "documents"]

SIDES: dict[str, Side] = {"query": "queries", "document": "documents"}
"""MTEB's prompt type to the side of the encoder."""

ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class MtebEncoder:
    """Give it to `mteb.evaluate`. `name` stands in the results; empty: the encoder's own.

    Retrieval tasks say which texts are queries and which are documents, and each gets its prompt. Most other tasks
    do not: their texts are encoded as `symmetric` says. That is the side without a prompt for most models; the models
    of the E5 family want "queries".
    """

    encoder: Encoder
    name: str = ""
    symmetric: Side = "documents"

    def __post_init__(self) -> None:
        if self.symmetric not in get_args(Side):
            raise unknown("side of an encoder", str(self.symmetric), get_args(Side))

    @property
    def mteb_model_meta(self) -> Any:
        """As `mteb.ModelMeta`; the revision is made from the encoder's fingerprint."""
        encoder = self.encoder
        return Facts(
            name=self.name or name_of(encoder),
            identity={"encoder": encoder.fingerprint, "symmetric": self.symmetric},
            kind="late-interaction" if encoder.similarity == "maxsim" else "dense",
            dim=encoder.dim,
            max_tokens=encoder.max_tokens if isinstance(encoder, TokenAware) else None,
            similarity=encoder.similarity,
        ).to_meta()

    def encode(self, inputs: Iterable[Batch], *, prompt_type: str | None = None, **rest: Any) -> Any:
        """float32 [texts, dim]; of an encoder with a vector a token, a list with [tokens, dim] for each text.

        `rest` is the task, the split and the batch size, on which nothing depends here. BadInput for a `precision`
        other than float32.
        """
        precision = rest.get("precision") or "float32"
        if precision != "float32":
            raise BadInput(f"precision is {precision!r}; retr's encoders give float32. Leave it out of encode_kwargs.")
        side = self.symmetric if prompt_type is None else SIDES[prompt_type]
        texts = texts_in(inputs)
        encode = self.encoder.encode_queries if side == "queries" else self.encoder.encode_documents
        embeddings = encode(texts)
        return embeddings.values if isinstance(embeddings, Vectors) else list(embeddings)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """A float32 tensor [first, second], by the encoder's own similarity. Takes arrays, and tensors on the CPU."""
        first, second = self._embeddings(embeddings1), self._embeddings(embeddings2)
        compare = SIMILARITIES[self.encoder.similarity]
        scores = np.empty((len(first), len(second)), np.float32)
        for start in range(0, len(first), ROWS_AT_ONCE):
            scores[start : start + ROWS_AT_ONCE] = compare(_rows(first, start, ROWS_AT_ONCE), second)
        return _tensor(scores)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """A float32 tensor [pairs]: each of the first with its opposite in the second. Mismatch for other counts."""
        first, second = self._embeddings(embeddings1), self._embeddings(embeddings2)
        if len(first) != len(second):
            raise Mismatch(
                f"There are {len(first)} embeddings on one side and {len(second)} on the other; pairs need as many."
            )
        compare = SIMILARITIES[self.encoder.similarity]
        pairs = (compare(_rows(first, row, 1), _rows(second, row, 1)).item() for row in range(len(first)))
        return _tensor(np.fromiter(pairs, np.float32, len(first)))

    def _embeddings(self, values: Any) -> Embeddings:
        """What `encode` gave, whole or in part, perhaps turned into tensors on the way."""
        if self.encoder.similarity != "maxsim":
            return Vectors(np.atleast_2d(_array(values)))
        texts = [values] if getattr(values, "ndim", 0) == 2 else values
        arrays = [_array(text) for text in texts]
        offsets = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int64)
        return TokenVectors(np.concatenate([np.empty((0, self.encoder.dim), np.float32), *arrays]), offsets)


def _array(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _tensor(values: Floats) -> Any:
    """MTEB's own tasks treat similarities as torch's; it cannot be installed without torch."""
    from torch import from_numpy

    return from_numpy(values)


def _rows(embeddings: Embeddings, start: int, count: int) -> Any:
    if isinstance(embeddings, Vectors):
        return Vectors(embeddings.values[start : start + count])
    ends = embeddings.offsets[start : start + count + 1]
    return TokenVectors(embeddings.values[ends[0] : ends[-1]], ends - ends[0])

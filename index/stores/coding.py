"""Token vectors as a store keeps them: the bytes of a passage and the codec that reads them, made and read here.

A passage's bytes are its tokens' codes, uint16 little-endian, where the codec has centroids; then what the codec keeps
beside them, token after token.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import LEVELS, Tokens
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.part import LatePart
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, Damaged
from retr.retrieval.store import CodedTokens, StoreSnapshot

_CODE = np.dtype("<u2")
_KEPT = 16
_read: dict[str, Codec] = {}
"""Codecs that were read before, by their key, which is a hash of all that they are."""


def codec_of(snapshot: StoreSnapshot, key: str) -> Codec:
    """The codec of a key. Damaged where the store has another one by it."""
    found = _read.get(key)
    if found is None:
        found = from_bytes(snapshot.codec(key))
        if found.key != key:
            raise Damaged(f"The codec {key[:12]} of the store is not the one that was written. Copy the tokens anew.")
        while len(_read) >= _KEPT:
            _read.pop(next(iter(_read)), None)
        _read[key] = found
    return found


def kept_tokens(snapshot: StoreSnapshot) -> list[dict[str, Any]]:
    """How tokens are kept, one entry a codec in use, as an index folder tells it of its segments."""
    found = []
    for key, use in snapshot.codecs().items():
        codec = codec_of(snapshot, key)
        tokens = use.bytes // (codec.width + (_CODE.itemsize if codec.coded else 0))
        found.append({"documents": use.passages, "tokens": tokens, "bits": codec.bits, "dim": codec.dim})
    return [one for one in found if one["tokens"]]


def to_bytes(codec: Codec) -> bytes:
    """A codec as a file of arrays."""
    file = BytesIO()
    numbers = np.array([codec.bits, codec.gain, codec.zero], np.int64)
    np.savez(file, centroids=codec.centroids, levels=codec.levels, numbers=numbers, unit=np.float64(codec.unit))
    return file.getvalue()


def from_bytes(data: bytes) -> Codec:
    """What `to_bytes` wrote, or Damaged."""
    try:
        with np.load(BytesIO(data), allow_pickle=False) as file:
            bits, gain, zero = file["numbers"].tolist()
            centroids, levels = file["centroids"], file["levels"]
            if centroids.ndim != 2 or centroids.dtype != np.uint8 or levels.dtype != np.uint8:
                raise BadInput("its arrays are of another kind")
            return Codec(bits, centroids, levels.reshape(-1, LEVELS), float(file["unit"]), gain, zero)
    except (ValueError, KeyError, TypeError, EOFError, OSError, BadZipFile, BadInput) as error:
        raise Damaged(f"A codec of the store cannot be read ({error}). Copy the tokens anew.") from None


def coded(codec: Codec, tokens: TokenVectors) -> list[CodedTokens]:
    """The tokens of passages by a codec."""
    codes, residuals = codec.encode(tokens.values)
    return [
        _packed(codec, codes[start:end], residuals[start:end])
        for start, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    ]


def kept_by(part: LatePart, row: int) -> CodedTokens:
    """The tokens of one passage of a part, as they are kept there."""
    own, places = part.tokens, slice(*part.tokens.offsets[row : row + 2].tolist())
    codes = np.empty(0, np.uint16) if own.codes is None else own.codes[places]
    return _packed(part.codec, codes, own.residuals[places])


def with_lists(codec: Codec, one: CodedTokens) -> CodedTokens:
    """Tokens as a store gives them, with their lists."""
    codes = part_of(codec, [one]).tokens.codes
    return CodedTokens(one.codec, one.data, () if codes is None else _lists(codec, codes))


def part_of(codec: Codec, each: Sequence[CodedTokens]) -> LatePart:
    """Passages of one codec as a part that can be searched. Damaged where their bytes are not tokens of it."""
    head = _CODE.itemsize if codec.coded else 0
    lengths, rest = np.divmod(np.array([len(one.data) for one in each], np.int64), head + codec.width)
    if rest.any() or (lengths < 1).any():
        raise Damaged("The bytes of some passages' tokens are not those of their codec. Copy the tokens anew.")
    cuts = (lengths * head).tolist()
    pairs = list(zip(each, cuts, strict=True))
    residuals = np.frombuffer(b"".join(one.data[cut:] for one, cut in pairs), np.uint8).reshape(-1, codec.width)
    codes: NDArray[np.uint16] | None = None
    if codec.coded:
        codes = np.frombuffer(b"".join(one.data[:cut] for one, cut in pairs), _CODE).astype(np.uint16)
        # Kernels check nothing: a code beyond the centroids would be read from other memory.
        if len(codes) and int(codes.max()) >= len(codec.centroids) * len(codec.levels):
            raise Damaged("The tokens of some passages name a centroid that their codec has not. Copy the tokens anew.")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return LatePart(Tokens(codes, residuals, offsets, codec.levels, codec.bits), codec, chosen_kernels())


def _packed(codec: Codec, codes: NDArray[np.uint16], residuals: NDArray[Any]) -> CodedTokens:
    if not codec.coded:
        return CodedTokens(codec.key, residuals.tobytes())
    return CodedTokens(codec.key, codes.astype(_CODE).tobytes() + residuals.tobytes(), _lists(codec, codes))


def _lists(codec: Codec, codes: NDArray[np.uint16]) -> list[int]:
    """The centroids of some codes, rising and without repeats."""
    found: list[int] = np.unique(codes // np.uint16(len(codec.levels))).tolist()
    return found

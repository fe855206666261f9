"""Tokenizers: BERT's WordPiece from a vocabulary that ships with the package, or a model folder's own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.encoders.reading.folder import read_json
from retr.retrieval.errors import BadInput, Damaged, NotFound

VOCABULARIES = Path(__file__).parent / "vocabularies"
TEXTS_AT_ONCE = 256
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def bert_tokenizer(vocabulary: Path, max_tokens: int, *, lowercase: bool = True) -> Any:
    """BERT's tokenizer with [CLS] and [SEP] (pairs: segments 0 and 1), cut at `max_tokens`, unpadded."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    if not vocabulary.is_file():
        raise NotFound(f"The vocabulary {vocabulary} is missing. Install retr, or get the model, again.")
    words = {word: row for row, word in enumerate(vocabulary.read_text("utf-8").rstrip("\n").split("\n"))}
    absent = [name for name in SPECIAL if name not in words]
    if absent:
        raise Damaged(f"The vocabulary {vocabulary} lacks {', '.join(absent)}. Get the model again.")
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, words[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def read_tokenizer(folder: Path, max_tokens: int, *, lowercase: bool = False) -> tuple[Any, str]:
    """A folder's tokenizer, cut at `max_tokens` and unpadded, and the sha256 of its files."""
    from tokenizers import Tokenizer, normalizers

    path, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
    settings = read_json(folder / "tokenizer_config.json", missing={})
    if not path.is_file() and vocabulary.is_file():
        tokenizer = bert_tokenizer(vocabulary, max_tokens, lowercase=settings.get("do_lower_case", True) or lowercase)
        return tokenizer, _sha256(vocabulary)
    if not path.is_file():
        raise NotFound(f"{folder} has neither tokenizer.json nor vocab.txt. Save the model with a fast tokenizer.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust reader raises a bare Exception
        raise Damaged(f"{path} is not a tokenizer ({' '.join(str(error).split())}). Get it again.") from None
    if lowercase:
        own = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=settings.get("truncation_side") or "right")
    return tokenizer, _sha256(path)


def tokenize(tokenizer: Any, texts: Sequence[Any], prompt: str = "") -> list[Any]:
    """One `tokenizers.Encoding` a text (after the prompt) or pair; BadInput for what is not text."""
    try:
        encodings: list[Any] = tokenizer.encode_batch_fast([prompt + text for text in texts] if prompt else list(texts))
    except (TypeError, UnicodeEncodeError):
        bad = next((text for text in texts if not _is_text(text)), None)
        raise BadInput(f"Texts must be strings of valid Unicode; got {str(bad)[:40]!a}. Clean it first.") from None
    return encodings


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Texts as a tokenizer gives them, int32 [tokens] a text; `skip` tokens at their front are the prompt's.

    `cut` texts were longer than what the encoder reads.
    """

    ids: Sequence[NDArray[np.int32]]
    skip: int = 0
    cut: int = 0

    @property
    def total(self) -> int:
        """Tokens of all texts."""
        return sum(len(row) for row in self.ids)


def token_ids(tokenizer: Any, texts: Sequence[str], prompt: str) -> Tokens:
    """The token numbers of each text after the prompt, a few texts at a time: the tokenizer's own results are large."""
    ids: list[NDArray[np.int32]] = []
    cut = 0
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        encodings = tokenize(tokenizer, texts[start : start + TEXTS_AT_ONCE], prompt)
        ids += [np.array(encoding.ids, np.int32) for encoding in encodings]
        cut += sum(bool(encoding.overflowing) for encoding in encodings)
    return Tokens(ids, _prompt_tokens(tokenizer, prompt), cut)


def _prompt_tokens(tokenizer: Any, prompt: str) -> int:
    """Tokens of the prompt, without the special one that ends it."""
    if not prompt:
        return 0
    encoding = tokenizer.encode(prompt)
    return len(encoding.ids) - int(encoding.special_tokens_mask[-1])


def check_list(texts: Sequence[str]) -> None:
    """BadInput for one text in the place of a list: its letters would be taken for texts."""
    if isinstance(texts, str):
        raise BadInput(f"A list of texts is needed; got one text, {texts[:40]!r}. Put it into a list.")


def _is_text(text: object) -> bool:
    try:
        return all(bool(part.encode("utf-8")) or True for part in (text if isinstance(text, tuple) else (text,)))
    except (AttributeError, UnicodeEncodeError):
        return False


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

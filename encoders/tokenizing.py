"""Tokenizers: BERT's WordPiece from a vocabulary that ships with the package, or a model folder's tokenizer.json."""

from pathlib import Path
from typing import Any

from retr.retrieval.errors import Damaged, NotFound

VOCABULARIES = Path(__file__).parent / "vocabularies"


def bert_tokenizer(vocabulary: str, max_tokens: int) -> Any:
    """The uncased BERT tokenizer with [CLS] and [SEP] (pairs: segments 0 and 1), cut at `max_tokens`, unpadded."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    path = VOCABULARIES / vocabulary
    if not path.is_file():
        raise NotFound(f"The vocabulary {path} is missing. Install retr again.")
    words = {word: row for row, word in enumerate(path.read_text("utf-8").splitlines())}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True) for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def read_tokenizer(path: Path, max_tokens: int) -> Any:
    """The tokenizer of a tokenizer.json, cut at `max_tokens`, unpadded."""
    from tokenizers import Tokenizer

    if not path.is_file():
        raise NotFound(f"No tokenizer.json in {path.parent}. Save the model with a fast tokenizer.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust reader raises a bare Exception
        raise Damaged(f"{path} is not a tokenizer: {' '.join(str(error).split())}. Get the file again.") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer

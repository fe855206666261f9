"""Chunking: offsets, sizes, cover, titles, pages."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.processors import TemplateProcessing

from retr.retrieval.chunking import Chunker, ChunkSettings, page_of
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document

WORDS = ["the", "cat", "sat", "on", "mat", ".", ",", "#", "-", "日", "本", "é"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def word_piece() -> Tokenizer:
    """Every letter is a token, some words too; [CLS] and [SEP] around; truncates at 6 as saved models do."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=6)
    return tokenizer


def byte_level() -> Tokenizer:
    """A token a byte, white space included: the sum over words is always too low for it."""
    alphabet = {symbol: number for number, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(alphabet, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return tokenizer


def untruncated(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def texts(chunker: Chunker, text: str, **fields: object) -> list[str]:
    return [passage.text for passage in chunker.split(Document("d", text, **fields))]  # type: ignore[arg-type]


def test_a_text_that_fits_is_one_passage() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=8, overlap=0), word_piece(), 8)
    assert texts(chunker, " the cat sat. \n") == [" the cat sat. \n"]


def test_special_tokens_take_their_room() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=8, overlap=0), word_piece(), 8)
    six, seven = "the cat sat on the mat", "the cat sat on the mat ."
    assert texts(chunker, six) == [six]
    assert len(texts(chunker, seven)) == 2


def test_a_text_is_cut_at_the_ends_of_sentences() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=10, overlap=0), word_piece(), 10)
    assert texts(chunker, "The cat sat on. The mat sat. The cat. The mat.") == [
        "The cat sat on.",
        "The mat sat.",
        "The cat. The mat.",
    ]


def test_a_title_line_goes_with_the_text_below_it() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=18, overlap=0), word_piece(), 18)
    text = "The cat\n\nThe cat sat on the mat. The mat sat.\n\nThe mat\n\nThe mat sat on the cat. The cat sat."
    assert texts(chunker, text) == [
        "The cat\n\nThe cat sat on the mat. The mat sat.",
        "The mat\n\nThe mat sat on the cat. The cat sat.",
    ]


def test_neighbours_overlap_by_what_was_asked() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=8, overlap=2), word_piece(), 8)
    passages = chunker.split(Document("d", "the cat sat on mat the cat sat on mat the cat sat on mat"))
    assert len(passages) == 4
    for before, after in pairwise(passages):
        shared = before.document.text[after.start : before.end].split()
        assert len(shared) == 2


@pytest.mark.parametrize("overlap", [0, 16, 40])
def test_passages_of_a_text_without_seams_are_few_and_equal(overlap: int) -> None:
    chunker = Chunker(ChunkSettings(max_tokens=102, overlap=overlap), word_piece(), 102)
    for count in (101, 250, 1000, 2345):
        sizes = [len(text.split()) for text in texts(chunker, "cat " * count)]
        fewest = ceil((count - overlap) / (100 - overlap))
        assert fewest <= len(sizes) <= fewest * 1.25 + 1
        # Pieces have 16 tokens, and a passage is made of whole ones.
        assert max(sizes) <= 100 and max(sizes) - min(sizes) <= 32


def test_a_text_longer_than_a_block_is_cut_as_a_short_one_is() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=66, overlap=0), word_piece(), 66)
    sentence = "The cat sat on the mat. "
    passages = texts(chunker, sentence * 2000)
    assert {len(text.split()) for text in passages} == {6 * 8, 6 * 9}
    assert all(text.endswith(".") for text in passages)


def test_tokens_between_words_are_counted() -> None:
    tokenizer = untruncated(byte_level())
    chunker = Chunker(ChunkSettings(max_tokens=64, overlap=0), byte_level(), 64)
    sizes = [len(tokenizer.encode(text).ids) for text in texts(chunker, "Ab cd ef. " * 100)]
    assert max(sizes) <= 64 and min(sizes) >= 49


def test_a_title_takes_its_room() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=16, overlap=0), word_piece(), 16)
    text = " ".join(["cat"] * 12)
    assert len(texts(chunker, text)) == 1
    assert len(texts(chunker, text, title="the mat")) == 2


def test_a_title_as_long_as_the_passage_leaves_a_quarter() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=18, overlap=0), word_piece(), 18)
    assert texts(chunker, "cat " * 8, title="the mat " * 20) == ["cat cat cat cat", "cat cat cat cat"]


def test_zero_keeps_the_text_whole() -> None:
    text = "the cat sat on the mat. " * 50
    assert texts(Chunker(ChunkSettings(max_tokens=0), word_piece(), 8), text) == [text]


def test_the_encoders_limit_is_the_default_and_512_the_most() -> None:
    text = "cat " * 1000
    assert max(len(text.split()) for text in texts(Chunker(ChunkSettings(overlap=0), word_piece(), 102), text)) == 96
    assert [len(text.split()) for text in texts(Chunker(ChunkSettings(), word_piece(), 8192), text)] == [352, 352, 360]


def test_without_a_tokenizer_words_are_counted() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=8, overlap=0))
    assert sorted(len(text.split()) for text in texts(chunker, "zebra " * 20)) == [6, 7, 7]


def test_an_empty_text_is_one_passage() -> None:
    passages = Chunker(ChunkSettings(), word_piece(), 8).split(Document("d", "", "the cat"))
    assert [(passage.start, passage.end) for passage in passages] == [(0, 0)]


def test_the_callers_tokenizer_keeps_its_truncation() -> None:
    tokenizer = word_piece()
    Chunker(ChunkSettings(), tokenizer, 8).split(Document("d", "cat " * 40))
    assert tokenizer.truncation is not None and tokenizer.padding is not None


def test_markdown_is_cut_before_a_heading() -> None:
    text = "# the cat\n\nthe cat sat on\n# the mat\n\nthe mat sat"
    chunker = Chunker(ChunkSettings(max_tokens=12, overlap=0), word_piece(), 12)
    assert texts(chunker, text, source={"path": "a/b.MD"}) == [
        "# the cat\n\nthe cat sat on",
        "# the mat\n\nthe mat sat",
    ]


def test_a_word_longer_than_a_passage_is_cut() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=18, overlap=0), word_piece(), 18)
    assert "".join(texts(chunker, "a" * 90)) == "a" * 90
    assert max(map(len, texts(chunker, "a" * 90))) == 16


PIECES = st.sampled_from(
    [
        *WORDS,
        "Ünïcode",
        "e\u0301",
        "\u0301",
        "👩‍👩‍👧",
        "🇩🇪",
        "\r\n",
        "\n\n",
        "\t",
        "  ",
        "\x1c",
        "\u2028",
        "x" * 30,
        "``" + "`",
        "* ",
    ]
)
INPUT = st.lists(
    PIECES | st.text(max_size=4).filter(lambda text: text.isascii() or text.encode("utf-8", "ignore").decode() == text),
    max_size=60,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    text=INPUT, size=st.integers(8, 30), overlap=st.integers(0, 7), markdown=st.booleans(), whole_bytes=st.booleans()
)
def test_every_character_is_in_a_passage_and_every_passage_fits(
    text: str, size: int, overlap: int, markdown: bool, whole_bytes: bool
) -> None:
    make = byte_level if whole_bytes else word_piece
    document = Document("d", text, source={"path": "d.md" if markdown else "d.txt"})
    passages = Chunker(ChunkSettings(max_tokens=size, overlap=min(overlap, size // 2)), make(), size).split(document)

    assert [passage.ordinal for passage in passages] == list(range(len(passages)))
    held = {position for passage in passages for position in range(passage.start, passage.end)}
    assert [
        text[position] for position in range(len(text)) if position not in held and not text[position].isspace()
    ] == []
    tokenizer = untruncated(make())
    for passage in passages:
        # One character may be several tokens, and is not cut.
        assert len(tokenizer.encode(passage.text).ids) <= size or len(passage.text.strip()) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": -1}, "at least 8, or 0"),
        ({"max_tokens": 7}, "at least 8, or 0"),
        ({"overlap": -1}, "0 or more"),
        ({"max_tokens": 17, "overlap": 9}, "at most half of that: 8"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, int], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        ChunkSettings(**fields)


def test_the_default_overlap_fits_small_passages_too() -> None:
    chunker = Chunker(ChunkSettings(max_tokens=18), word_piece(), 18)
    passages = chunker.split(Document("d", "cat " * 40))
    assert {before.end - after.start for before, after in pairwise(passages)} == {len("cat " * 8) - 1}


def test_passages_larger_than_the_encoder_reads_are_refused() -> None:
    with pytest.raises(BadInput, match="the encoder reads 256 tokens"):
        Chunker(ChunkSettings(max_tokens=300), word_piece(), 256)


@pytest.mark.parametrize("text", ["a\ud800b", "x" * 400 + "\ud800"])
def test_a_lone_surrogate_is_refused_with_the_documents_id(text: str) -> None:
    with pytest.raises(BadInput, match="document 'd7' is not valid Unicode"):
        Chunker(ChunkSettings(), word_piece(), 256).split(Document("d7", text))


def test_the_page_is_found_from_the_offset() -> None:
    document = Document("d", "one two", source={"page_starts": [0, 4]})
    assert [page_of(document, offset) for offset in (0, 3, 4, 6)] == [1, 1, 2, 2]
    assert page_of(Document("d", "one"), 0) is None

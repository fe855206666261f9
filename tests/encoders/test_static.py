"""Static embeddings: means by hand, other libraries' folders, words remembered, and folders that are none."""

import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from retr.encoders import load_encoder
from retr.encoders.reading.safetensors_file import read_safetensors
from retr.encoders.reading.tokenizing import VOCABULARIES, bert_tokenizer
from retr.encoders.static import summing
from retr.encoders.static import words as word_module
from retr.encoders.static.encoder import StaticEncoder
from retr.encoders.static.summing import sums
from retr.encoders.static.words import Words, is_separable
from retr.encoders.static.writing import StaticModel, write_static
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound, RetrError

TEXTS = [
    "the red fish swims",
    "a",
    "",
    "zzz qqq",
    "cold  water\tin a\nstone",
    "the red fish swims",
    "fish. fish? fish,",
]


def word_level(words: list[str]) -> Tokenizer:
    """A tokenizer of whole words; `?` is what it does not know."""
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def written(folder: Path, table: list[list[float]], words: list[str], storage: Any = "float32") -> StaticEncoder:
    model = StaticModel(np.array(table, np.float32), word_level(words))
    write_static(folder, model, storage)
    encoder = load_encoder(str(folder))
    assert isinstance(encoder, StaticEncoder)
    return encoder


def test_a_text_is_the_mean_of_its_words_at_length_one(tmp_path: Path) -> None:
    encoder = written(tmp_path, [[0, 0], [3, 0], [0, 1]], ["?", "red", "fish"])
    found = encoder.encode_documents(["red", "red fish", "fish red fish fish", "fish unheard"]).values
    by_hand = [[1, 0], [3 / 10**0.5, 1 / 10**0.5], [1 / 2**0.5, 1 / 2**0.5], [0, 1]]
    np.testing.assert_allclose(found, by_hand, atol=1e-6)


def test_a_text_without_words_points_away_from_all_words(tmp_path: Path) -> None:
    encoder = written(tmp_path, [[0, 0], [3, 1], [1, 3]], ["?", "red", "fish"])
    nothing = encoder.encode_documents(["", "unheard"]).values
    np.testing.assert_allclose(nothing, [[-(0.5**0.5)] * 2] * 2, atol=1e-6)
    assert (nothing @ encoder.encode_queries(["red", "fish", "red fish"]).values.T).max() < 0


def test_an_index_takes_a_text_of_unknown_words_and_finds_it_last(tmp_path: Path) -> None:
    import retr
    from retr.retrieval.records import Document

    (tmp_path / "m").mkdir()
    written(tmp_path / "m", [[0, 0], [3, 1], [1, 3]], ["?", "red", "fish"])
    texts = {"nothing": "unheard of", "one": "fish", "two": "red"}
    collection = retr.create(tmp_path / "ix", encoder=str(tmp_path / "m"))
    collection.add(Document(name, text) for name, text in texts.items())
    assert [hit.id for hit in collection.search("red", k=3, mode="dense")] == ["two", "one", "nothing"]


def test_dot_product_vectors_keep_the_length_of_the_mean(make_static: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_static(), tmp_path / "dot"))
    (folder / "config_sentence_transformers.json").write_text('{"similarity_fn_name": "dot"}')
    encoder = load_encoder(str(folder))
    table = read_safetensors([folder / "model.safetensors"])["embedding.weight"]
    ids = encoder.tokenizer.encode("the red fish").ids
    assert encoder.similarity == "dot"
    found = encoder.encode_documents(["the red fish", ""]).values
    np.testing.assert_allclose(found, [table[ids].mean(axis=0), np.zeros(encoder.dim)], atol=1e-6)


def test_prompts_go_before_the_text(make_static: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_static(), tmp_path / "prompts"))
    plain = load_encoder(str(folder)).encode_documents(["red fish", "the red fish"]).values
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "the ", "document": ""}}')
    encoder = load_encoder(str(folder))
    np.testing.assert_array_equal(encoder.encode_queries(["red fish"]).values, plain[1:])
    np.testing.assert_array_equal(encoder.encode_documents(["red fish"]).values, plain[:1])


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_smaller_storages_point_almost_the_same_way(storage: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    words = ["?", *TEXTS[0].split()]
    table = [[0.0] * 64, *rng.normal(size=(4, 64)).tolist()]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    exact = written(tmp_path / "a", table, words).encode_documents(TEXTS[:1]).values
    small = written(tmp_path / "b", table, words, storage)
    assert small.describe()["precision"] == storage
    assert 0.999 < float((exact * small.encode_documents(TEXTS[:1]).values).sum()) < 1.0001


def test_an_unknown_storage_names_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'float16'"):
        write_static(tmp_path, StaticModel(np.ones((2, 2), np.float32), word_level(["?", "a"])), "flaot16")  # type: ignore[arg-type]


# Other libraries' folders


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_sentence_transformers_reads_what_is_written(storage: Any, make_static: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    tokenizer = Tokenizer.from_file(str(make_static() / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 16)).astype(np.float32)
    write_static(tmp_path, StaticModel(table, tokenizer), storage)
    model = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    texts = [text for text in TEXTS if text]  # Of an empty text it makes zeros.
    expected = model.encode(texts, convert_to_numpy=True)
    np.testing.assert_allclose(load_encoder(str(tmp_path)).encode_documents(texts).values, expected, atol=2e-3)
    if storage == "float32":
        np.testing.assert_allclose(load_encoder(str(tmp_path)).encode_queries(texts).values, expected, atol=1e-6)


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")
def test_what_sentence_transformers_wrote_is_read(make_static: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = Tokenizer.from_file(str(make_static() / "tokenizer.json"))
    table = np.random.default_rng(1).normal(size=(tokenizer.get_vocab_size(), 16)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu")
    model.save(str(tmp_path / "m"))
    texts = [text for text in TEXTS if text]
    expected = model.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(load_encoder(str(tmp_path / "m")).encode_documents(texts).values, expected, atol=1e-6)


def test_model2vec_folders_have_weights_and_leave_unknown_words_out(make_static: Any) -> None:
    folder = make_static("model2vec", seed=4)
    tensors = read_safetensors([folder / "model.safetensors"])
    encoder = load_encoder(str(folder))
    ids = [number for number in encoder.tokenizer.encode("the 鱼 fish").ids if number != 3]
    mean = (tensors["embeddings"][ids] * tensors["weights"][ids, None]).mean(axis=0)
    assert len(encoder.tokenizer.encode("the 鱼 fish").ids) == len(ids) + 1
    found = encoder.encode_documents(["the 鱼 fish"]).values[0]
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)


def test_a_model2vec_mapping_shares_rows(make_static: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_static("model2vec"), tmp_path / "mapped"))
    rows = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    table = np.array([[1, 0], [0, 1]], np.float32)
    mapping = np.zeros(rows, np.int64)
    mapping[Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("fish")] = 1
    save(folder, {"embeddings": table, "mapping": mapping})
    np.testing.assert_allclose(load_encoder(str(folder)).encode_documents(["fish", "red"]).values, [[0, 1], [1, 0]])


@pytest.mark.parametrize("layout", ["sentence-transformers", "model2vec"])
def test_the_folder_says_that_it_is_static(layout: str, make_static: Any) -> None:
    assert isinstance(load_encoder(str(make_static(layout))), StaticEncoder)


def test_retr_json_says_the_kind_before_all_else(make_bi: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_bi(), tmp_path / "m"))
    (folder / "retr.json").write_text('{"distilled": {"kind": "later"}}')
    with pytest.raises(BadInput, match="'later' model; accepted here are bi, static"):
        load_encoder(str(folder))


# Words remembered


@pytest.fixture(scope="module")
def bert() -> Any:
    tokenizer = bert_tokenizer(VOCABULARIES / "bert-base-uncased.txt", 64)
    tokenizer.post_processor = None
    return tokenizer


@given(
    st.lists(
        st.text(
            st.one_of(
                st.characters(exclude_categories=["Cs"]),
                st.sampled_from(" \n\t\r\x0b\x1c\x85\u00a0\u2003.,[]CLS#éǅß中́İ"),
            )
        )
        | st.just("so [CLS] it [MASK]. goes"),
        max_size=6,
    )
)
@settings(max_examples=300, deadline=None)
def test_remembered_words_give_the_tokenizers_own_numbers(bert: Any, texts: list[str]) -> None:
    ids, lengths = Words(bert, 64).ids(texts)
    expected = [encoding.ids for encoding in bert.encode_batch(texts)]
    assert lengths.tolist() == [len(one) for one in expected]
    assert ids.tolist() == [number for one in expected for number in one]


def test_texts_are_cut_where_the_tokenizer_cuts_them(bert: Any) -> None:
    texts = ["fish water " * 90, "unbelievablyunseen " * 40]
    ids, lengths = Words(bert, 64).ids(texts)
    assert lengths.tolist() == [64, 64]
    assert ids.tolist() == [number for text in texts for number in bert.encode(text).ids]


def test_forgetting_changes_nothing(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_module, "MOST_PARTS", 3)
    words = Words(bert, 64)
    for texts in (["red fish"], ["blue bird here"], ["one two three four five"], ["red fish"]):
        assert words.ids(texts)[0].tolist() == bert.encode(texts[0]).ids
    assert len(words._known) <= 3


def test_a_tokenizer_that_looks_across_spaces_is_used_as_it_is() -> None:
    plain = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁red", -1.0), ("▁", -2.0), ("fish", -2.5)], unk_id=0))
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    assert not is_separable(plain)
    assert Words(plain, 64).ids(["red fish"])[0].tolist() == plain.encode("red fish").ids


def test_an_added_word_of_two_is_not_taken_apart() -> None:
    tokenizer = bert_tokenizer(VOCABULARIES / "bert-base-uncased.txt", 64)
    assert is_separable(tokenizer)
    tokenizer.add_tokens(["heart attack"])
    assert not is_separable(tokenizer)


# Sums


@pytest.mark.parametrize("most", [1, 2, 7, 1024])
def test_sums_are_those_of_a_loop(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summing, "TOKENS_A_GATHER", most)
    rng = np.random.default_rng(most)
    table = rng.normal(size=(30, 5)).astype(np.float32)
    lengths = rng.integers(0, 9, 40)
    ids = rng.integers(0, 30, lengths.sum()).astype(np.int32)
    ends = np.cumsum(lengths)
    expected = [table[ids[end - length : end]].sum(axis=0) for end, length in zip(ends, lengths, strict=True)]
    np.testing.assert_allclose(sums(table, ids, lengths), expected, atol=1e-5)


def test_no_texts_have_no_sums() -> None:
    empty = sums(np.ones((3, 2), np.float32), np.empty(0, np.int32), np.empty(0, np.int64))
    assert empty.shape == (0, 2)


def test_batch_mates_change_no_bit(make_static: Any) -> None:
    encoder = load_encoder(str(make_static(seed=5)))
    rng = np.random.default_rng(5)
    words = ["the", "red", "blue", "fish", "swims", "in", "cold", "water", "a", "stone", "falls", "from", "sky"]
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(0, 60, 300)]
    together = encoder.encode_documents(texts).values
    for rows in ([7], [0, 299, 7], list(range(100, 200))):
        np.testing.assert_array_equal(encoder.encode_documents([texts[row] for row in rows]).values, together[rows])


# Folders that are none


def save(folder: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """A safetensors file of float32 and int64 tensors."""
    names = {"float32": "F32", "int64": "I64"}
    head, at = {}, 0
    for name, values in tensors.items():
        shape = list(values.shape)
        head[name] = {"dtype": names[str(values.dtype)], "shape": shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(head).encode()
    data = b"".join(values.tobytes() for values in tensors.values())
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


ONES = np.ones((90, 4), np.float32)
MODULES = "sentence_transformers.models."
BAD: list[tuple[str, dict[str, np.ndarray] | None, dict[str, Any], type[RetrError], str]] = [
    ("no table", None, {}, NotFound, "no model.safetensors"),
    ("other tensors", {"linear.weight": ONES}, {}, BadInput, "holds linear.weight"),
    ("flat table", {"embedding.weight": ONES[0]}, {}, Damaged, r"the shape \[4\]"),
    ("short table", {"embedding.weight": ONES[:9]}, {}, Mismatch, "a table of 9"),
    ("NaN", {"embedding.weight": ONES * np.float32("nan")}, {}, Damaged, "NaN"),
    ("mapping beyond", {"embeddings": ONES, "mapping": np.array([90])}, {}, Damaged, "beyond its 90"),
    ("weights of another table", {"embeddings": ONES, "weights": ONES[0]}, {}, Mismatch, "4 weights for 90 rows"),
    (
        "similarity",
        {"embedding.weight": ONES},
        {"config_sentence_transformers.json": {"similarity_fn_name": "l1"}},
        BadInput,
        "compares by 'l1'",
    ),
    ("no modules", {"embedding.weight": ONES}, {"modules.json": {}}, Damaged, "not a list of modules"),
    (
        "other modules",
        {"embedding.weight": ONES},
        {"modules.json": [{"type": f"{MODULES}StaticEmbedding", "path": ""}, {"type": f"{MODULES}Dense", "path": ""}]},
        BadInput,
        "StaticEmbedding, Dense",
    ),
    (
        "modules outside",
        {"embedding.weight": ONES},
        {"modules.json": [{"type": f"{MODULES}StaticEmbedding", "path": "../.."}]},
        BadInput,
        "outside of itself",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "tensors", "files", "kind", "says"), BAD, ids=[bad[0] for bad in BAD])
def test_a_bad_folder_is_one_line(
    name: str,
    tensors: dict[str, np.ndarray] | None,
    files: dict[str, Any],
    kind: type[RetrError],
    says: str,
    make_static: Any,
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(make_static(), tmp_path / "m"))
    (folder / "model.safetensors").unlink()
    if tensors is not None:
        save(folder, tensors)
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content))
    with pytest.raises(kind, match=says) as caught:
        load_encoder(f"static={folder}")
    assert "\n" not in str(caught.value)


def test_a_file_and_nothing_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(BadInput, match="is a file"):
        load_encoder(f"static={tmp_path / 'x'}")
    with pytest.raises(NotFound, match="No folder of static embeddings"):
        load_encoder("static=./nowhere")

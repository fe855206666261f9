"""LargePiG's step by hand, and a decoder that writes with it: methods of arXiv 2410.11366."""

from collections.abc import Callable
from functools import partial
from math import log
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from retr.distill.generating.copying import PUBLISHED_WORDS, divergence, looked_at, next_word  # noqa: E402
from retr.distill.generating.settings import GenerateSettings  # noqa: E402
from retr.distill.generating.writer import Writer, open_writer  # noqa: E402
from retr.distill.pairs import PairSettings, make_pairs  # noqa: E402
from retr.retrieval.errors import BadInput, NotFound  # noqa: E402
from retr.retrieval.records import Document  # noqa: E402

TEXT = "the red fish swims in cold water. a stone falls from the blue sky."


def logs(*shares: float) -> Any:
    return torch.tensor(shares).log()


@pytest.fixture(scope="module")
def folder(make_bi: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama of six layers, whose words are those of the other tests."""
    import shutil

    folder, like = tmp_path_factory.mktemp("llama"), make_bi("bert")
    words = len(transformers.PreTrainedTokenizerFast(tokenizer_file=str(like / "tokenizer.json")))
    sizes = {"hidden_size": 16, "num_hidden_layers": 6, "num_attention_heads": 2, "intermediate_size": 24}
    told = {"vocab_size": words, "max_position_embeddings": 512, "initializer_range": 0.4, "eos_token_id": 4}
    config = transformers.LlamaConfig(**sizes, **told)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(like / name, folder / name)
    return folder


def opened(folder: Path, **settings: Any) -> Writer:
    return open_writer(folder, GenerateSettings(prompt="a {text} query:", new_tokens=8, **settings))


def prompted(writer: Writer, text: str = TEXT) -> tuple[list[int], tuple[int, int]]:
    told, source, rest = (writer.tokenizer.encode(part).ids for part in ("a ", text, " query:"))
    start = len(writer.first) + len(told)
    return [*writer.first, *told, *source, *rest], (start, start + len(source))


def test_divergences_by_hand() -> None:
    one, other = logs(0.8, 0.2), logs(0.4, 0.6)
    standard = (0.8 * log(0.8 / 0.6) + 0.2 * log(0.2 / 0.4) + 0.4 * log(0.4 / 0.6) + 0.6 * log(0.6 / 0.4)) / 2
    assert float(divergence(one, other, "standard")) == pytest.approx(standard, rel=1e-5)
    turned = (0.6 * log(0.6 / 0.8) + 0.4 * log(0.4 / 0.2) + 0.6 * log(0.6 / 0.4) + 0.4 * log(0.4 / 0.6)) / 2
    assert float(divergence(one, other, "paper_code")) * PUBLISHED_WORDS == pytest.approx(turned, rel=1e-5)
    assert float(divergence(logs(1.0, 1e-30), logs(1e-30, 1.0), "standard")) == pytest.approx(log(2), rel=1e-5)


def test_a_word_has_the_shares_of_all_its_places_and_a_special_token_none() -> None:
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.0], [0.3, 0.0, 0.1, 0.4]])
    plain = looked_at(attention, [7, 3, 7, -1], 9, normalise=False)
    assert plain[[7, 3, 0]].tolist() == pytest.approx([0.4, 0.1, 0.0])
    whole = looked_at(attention, [7, 3, 7, -1], 9, normalise=True)
    assert float(whole.sum()) == pytest.approx(1, abs=1e-5) and float(whole[7]) == pytest.approx(0.8, abs=1e-5)


def test_the_share_that_is_copied_grows_with_the_divergence_up_to_the_most() -> None:
    final, copied = logs(0.55, 0.45, 1e-9), torch.tensor([0.0, 0.0, 1.0])
    early = torch.stack([logs(0.5, 0.5, 1e-9), logs(0.1, 0.9, 1e-9)])
    settings = GenerateSettings(divergence="standard")
    apart = float(divergence(final, logs(0.1, 0.9, 1e-9), "standard"))
    assert next_word(final, early, copied, settings) == (0, pytest.approx(apart, rel=1e-4))
    assert next_word(final, early, copied, GenerateSettings(divergence="standard", scale=100)) == (2, 0.5)
    assert next_word(final, final.expand(2, 3), copied, settings) == (0, pytest.approx(0.0, abs=1e-6))


def test_without_copying_and_with_nothing_to_copy_the_words_are_those_of_greedy_decoding(folder: Path) -> None:
    plain = opened(folder, copy="none")
    ids, source = prompted(plain)
    told = torch.tensor([ids])
    written = plain.model.generate(
        told, attention_mask=torch.ones_like(told), max_new_tokens=8, do_sample=False, use_cache=True, pad_token_id=0
    )
    expected = written[0, len(ids) :].tolist()
    found = plain.write(ids, source)
    assert found == expected[: len(found)] and found
    assert opened(folder, most=0.0).write(ids, source) == found


def test_with_copying_other_words_come_and_those_of_the_text_more_often(folder: Path) -> None:
    copying = opened(folder, divergence="standard", scale=100, most=1.0)
    ids, source = prompted(copying)
    assert copying.layers == [3]
    found = copying.write(ids, source)
    assert set(found) <= set(ids[source[0] : source[1]])
    assert found != opened(folder, copy="none").write(ids, source)


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of four tokens."""
    from retr.distill.generating import questions

    monkeypatch.setattr(questions, "GenerateSettings", partial(GenerateSettings, prompt="a {text}:", new_tokens=4))


def test_a_question_of_the_prompt_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(folder, GenerateSettings(prompt="a question: red fish? {text}"))
    tokens = writer.tokenizer.encode("red fish ? a stone").ids
    monkeypatch.setattr(Writer, "write", lambda self, ids, source: tokens)
    assert writer.ask(TEXT) == ""
    tokens = writer.tokenizer.encode("the blue fish? a stone").ids
    assert writer.ask(TEXT) == "the blue fish?"


def test_every_passage_is_asked_about_in_pairs(folder: Path, briefly: None) -> None:
    settings = PairSettings("generate", min_words=1, generator=str(folder))
    rows = list(make_pairs([Document("a", TEXT, title="Fish"), Document("b", "")], settings))
    assert [row.query_id for row in rows] == ["a"] and rows[0].positive == f"Fish {TEXT}"
    assert rows[0].query and rows == list(make_pairs([Document("a", TEXT, title="Fish")], settings))


def test_a_decoder_asks_for_retr_adapt_too(folder: Path, briefly: None) -> None:
    from retr.distill.adapting.questions import open_questioners

    (asker,) = open_questioners([f"retr.distill.generating.questions:Questions={folder}"], "en", 0)
    assert asker.name == "generated" and len(asker.fingerprint) > 64
    assert all(pair.positive_id == "a" for pair in asker.ask([Document("a", TEXT)]))


def test_what_is_wrong_is_said(folder: Path, make_bi: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match="needs the folder of a decoder"):
        PairSettings("generate")
    with pytest.raises(BadInput, match="no other method has one"):
        PairSettings("ict", generator="x")
    with pytest.raises(NotFound, match="No folder"):
        list(make_pairs([Document("a", TEXT)], PairSettings("generate", generator="nowhere")))
    for told in ({"copy": "all"}, {"prompt": "no text"}, {"new_tokens": 0}, {"most": 2.0}):
        with pytest.raises(BadInput, match=r"got|write it once|give"):
            GenerateSettings(**told)  # type: ignore[arg-type]

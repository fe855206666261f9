"""ICT, BFS and WLP: what a sentence may ask for, and that it hangs on nothing but seed and document."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("sentencex")

from retr.distill.pairs import Pair, PairSettings, make_pairs
from retr.retrieval.corpus import read_documents
from retr.retrieval.errors import RetrError
from retr.retrieval.records import Document

COLOURS = ["red", "green", "blue", "black", "white", "brown", "pink", "grey"]


def sentences(name: str, count: int) -> list[str]:
    return [f"The {COLOURS[number % 8]} {name} number {number} sleeps." for number in range(count)]


def document(name: str, paragraphs: Sequence[int]) -> Document:
    """A document with so many sentences in its paragraphs; every sentence is another one."""
    all_of_them = iter(sentences(name, sum(paragraphs)))
    text = "\n\n".join(" ".join(next(all_of_them) for _ in range(count)) for count in paragraphs)
    return Document(name, text, title=f"All of {name}")


def made(documents: Sequence[Document], method: str = "ict", **settings: object) -> list[Pair]:
    return list(make_pairs(documents, PairSettings(method, **settings)))  # type: ignore[arg-type]


ZOO = [document(name, [3, 4, 2]) for name in ("fox", "cat", "owl", "eel")]


def test_the_sentence_is_not_in_its_passage_and_the_title_is() -> None:
    pairs = made(ZOO, keep_prob=0, rows=9)
    assert len(pairs) == 4 * 9
    for pair in pairs:
        assert pair.query not in pair.positive
        assert pair.positive.startswith(f"All of {pair.query_id} ")
        rest = {one for one in sentences(pair.query_id, 9) if one in pair.positive}
        assert rest == set(sentences(pair.query_id, 9)) - {pair.query}


def test_a_sentence_that_stands_in_its_passage_twice_is_taken_out_twice() -> None:
    text = "A red fox sleeps here. It dreams of mice. A red  fox sleeps here. It wakes up late."
    pairs = made([Document("d", text)], keep_prob=0, rows=9)
    assert {pair.query: pair.positive for pair in pairs}[
        "A red fox sleeps here."
    ] == "It dreams of mice. It wakes up late."


def test_a_sentence_that_the_rest_repeats_does_not_ask() -> None:
    text = "The red fox sleeps. He said: the red fox sleeps. Nobody saw it there."
    queries = {pair.query for pair in made([Document("d", text)], keep_prob=0, rows=9)}
    assert queries == {"He said: the red fox sleeps.", "Nobody saw it there."}


def test_the_title_alone_does_not_make_a_passage() -> None:
    assert made([Document("d", "The only sentence is here.", title="A title of many words")]) == []


def test_the_sentence_stays_as_often_as_asked() -> None:
    pairs = made([document(f"d{number}", [5]) for number in range(400)], keep_prob=0.25)
    kept = sum(pair.query in pair.positive for pair in pairs)
    assert 70 <= kept <= 130  # 100 expected, standard deviation 8.7
    assert all(pair.query in pair.positive for pair in made(ZOO, keep_prob=1))


def test_bfs_never_answers_from_the_sentence_s_own_paragraph() -> None:
    for seed in range(20):
        for pair in made(ZOO, "bfs", rows=3, seed=seed, passage_words=20):
            own = sentences(pair.query_id, 9)[:3]
            assert pair.query in own
            assert not any(one in pair.positive for one in own)


def test_bfs_reaches_every_other_paragraph() -> None:
    positives = {pair.positive for seed in range(40) for pair in made(ZOO[:1], "bfs", seed=seed, passage_words=24)}
    assert len(positives) == 2


def test_bfs_asks_from_the_first_section_alone() -> None:
    text = "# Foxes\n\nA red fox sleeps here.\n\n## Food\n\nFoxes eat very many mice.\n\nThey eat plums as well."
    for seed in range(20):
        (pair,) = made([Document("d", text)], "bfs", seed=seed)
        assert pair.query == "A red fox sleeps here."
        assert "mice" in pair.positive


def test_bfs_takes_another_passage_where_there_is_one_paragraph_and_none_where_there_is_one_passage() -> None:
    long, short = document("fox", [40]), document("cat", [4])
    pairs = made([long, short], "bfs", passage_words=30)
    assert [pair.query_id for pair in pairs] == ["fox"]
    assert pairs[0].query not in pairs[0].positive


@pytest.mark.parametrize("method", ["ict", "bfs"])
def test_the_order_of_documents_changes_nothing_but_the_order_of_pairs(method: str) -> None:
    again = ZOO.copy()
    random.Random(3).shuffle(again)
    key = str
    assert again != ZOO
    assert sorted(made(ZOO, method), key=key) == sorted(made(again, method), key=key)
    assert sorted(made(ZOO, method), key=key) != sorted(made(ZOO, method, seed=1), key=key)
    assert made(ZOO[:2], method) == made(ZOO, method)[: len(made(ZOO[:2], method))]


def site(folder: Path) -> Path:
    """Pages that link: a -> b (md), b -> a and missing (html), c/index -> a by its folder, d to itself alone."""
    (folder / "c").mkdir()
    (folder / "a.md").write_text(
        "# Foxes\n\nThe fox is a small animal.\n\n## More\n\n"
        'It is eaten by [the great owl](b.html#top "Owls") at night.\n'
        "![no link](c/index.md)\n"
    )
    (folder / "b.html").write_text(
        "<html><head><title>Owls</title></head><body><h1>Owls</h1><p>The owl is a bird of the night.</p>"
        "<nav><a href='c/'>Menu</a></nav><h2>Food</h2>"
        "<p>It eats <a href='/a.md'>foxes</a> and <a href='gone.md'>more</a>.</p>"
        "</body></html>"
    )
    (folder / "c" / "index.md").write_text(
        "# Eels\n\nThe eel lives in rivers, far from the [fox](../a).\n\nSee [[Owls|the bird]] too, they say here.\n"
    )
    (folder / "d.md").write_text("# Alone\n\nThis page links to [itself](d.md) and [out](https://example.org/a.md).\n")
    return folder


def test_wlp_follows_the_links_and_no_others(tmp_path: Path) -> None:
    pairs = list(make_pairs(read_documents([site(tmp_path)]), PairSettings("wlp", passage_words=12)))
    assert {(pair.positive_id, pair.query_id) for pair in pairs} == {
        ("a.md", "b.html"),
        ("b.html", "a.md"),
        ("c/index.md", "a.md"),
        ("c/index.md", "b.html"),
    }
    asked = {pair.query_id: pair.query for pair in pairs}
    assert asked == {"a.md": "The fox is a small animal.", "b.html": "The owl is a bird of the night."}


def test_wlp_answers_with_the_passage_in_which_the_link_stands(tmp_path: Path) -> None:
    pairs = list(make_pairs(read_documents([site(tmp_path)]), PairSettings("wlp", passage_words=12)))
    shown = {(pair.positive_id, pair.query_id): pair.positive for pair in pairs}
    assert "eaten by the great owl at night" in shown["a.md", "b.html"]
    assert "small animal" not in shown["a.md", "b.html"]
    assert shown["b.html", "a.md"].endswith("It eats foxes and more.")
    assert "far from the fox." in shown["c/index.md", "a.md"]
    assert shown["c/index.md", "b.html"].endswith("See the bird too, they say here.")


def test_wlp_does_not_hang_on_the_order(tmp_path: Path) -> None:
    documents = list(read_documents([site(tmp_path)]))
    assert made(documents, "wlp") == made(documents[::-1], "wlp")


def test_wlp_reads_links_of_metadata_by_id_title_and_url() -> None:
    pages = [
        Document(name, f"The {name} sleeps here all day.", name.title(), {"url": f"https://z.org/{name}/"})
        for name in ("fox", "owl", "eel")
    ]
    links = ["fox", "Owl", "https://z.org/eel#food", "nobody", "me"]
    me = Document("me", "This one names all the others.", metadata={"see": links})
    pairs = made(
        [me, *pages, Document("b", "Names one of them too.", metadata={"see": "owl"})], "wlp", links_field="see"
    )
    assert [(pair.positive_id, pair.query_id) for pair in pairs] == [
        ("b", "owl"),
        ("me", "eel"),
        ("me", "fox"),
        ("me", "owl"),
    ]


def test_training_takes_no_two_rows_of_one_document_for_negatives(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from retr.encoders.objectives.contrastive import _Pool
    from retr.encoders.training.batches import Batch

    pairs = made(ZOO[:2], rows=2)
    batch = Batch(
        queries=tuple(pair.query for pair in pairs),
        positives=tuple(pair.positive for pair in pairs),
        query_ids=tuple(pair.query_id for pair in pairs),
        ids=tuple((pair.positive_id,) for pair in pairs),
    )
    hidden = _Pool.of(batch, share=False).hidden(batch, in_batch=True, same=True).tolist()
    assert hidden == [
        [False, True, False, False],
        [True, False, False, False],
        [False, False, False, True],
        [False, False, True, False],
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "itc"}, "Did you mean 'ict'"),
        ({"seed": -1}, "seed is -1"),
        ({"rows": 0}, "rows is 0"),
        ({"keep_prob": 1.5}, "keep_prob is 1.5"),
        ({"keep_prob": float("nan")}, "keep_prob is nan"),
        ({"passage_words": 7}, "twice min_words"),
        ({"max_words": 3}, "max_words is 3"),
        ({"language": "e n"}, "language is 'e n'"),
        ({"links_field": "see"}, "ict reads no links"),
    ],
)
def test_settings_refuse_what_they_cannot_mean(given: dict[str, object], says: str) -> None:
    with pytest.raises(RetrError, match=says):
        PairSettings(**given)  # type: ignore[arg-type]

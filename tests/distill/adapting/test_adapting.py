"""An encoder adapted to documents: what it sees, what it is measured on, and that a run goes on where it was."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")
pytest.importorskip("sentencex")

from retr.distill.adapting import Adaptation, AdaptSettings, adapt
from retr.distill.labelling.store import Labels
from retr.distill.pairs import Pair
from retr.encoders import load_encoder
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels

Make = Callable[..., Any]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def asked(make_bi: Make, tmp_path: Path, small: dict[str, Any]) -> Make:
    """`asked(out, settings=…, …)` to what is asked for, of a tiny encoder."""
    model = make_bi(seed=2)

    def make(out: str = "new", *, settings: dict[str, Any] | None = None, **more: Any) -> Adaptation:
        return Adaptation(tmp_path / out, str(model), settings=AdaptSettings(**small | (settings or {})), **more)

    return make


def test_without_a_teacher_it_learns_from_pairs_and_is_measured_by_pseudo_questions(
    asked: Make, documents: Make
) -> None:
    plan = asked(settings={"steps": 60, "batch_size": 16, "learning_rate": 5e-3})
    record = adapt(plan, documents)
    assert (record["method"], record["evaluation"], record["teachers"]) == ("infonce", "pseudo", [])
    assert record["counts"]["held_out"] == record["pseudo"]["queries"] == 12
    assert "judged" not in record and "pseudo questions" in record["pseudo"]["about"]
    assert record["recommended"] == record["pseudo"]["better"]
    assert load_encoder(f"bi={plan.out}").dim == 32
    page = (plan.out / "report.md").read_text()
    assert "(pseudo)" in page and "no users' questions" in page
    assert (plan.out / "adaptation.png").exists() == ("![" in page)
    assert not (plan.work / "before").exists()


def test_no_held_out_document_is_trained_on(asked: Make, documents: Make) -> None:
    plan = asked()
    adapt(plan, documents)
    held = {line["id"]: line["query"] for line in lines(plan.work / "material" / "pseudo.jsonl")}
    assert len(held) == 12
    for row in lines(plan.work / "rows.jsonl"):
        assert not held.keys() & {row["query_id"], row["positive_id"], *row["negative_ids"]}
    whole = {document.id: document.text for document in documents()}
    kept = {line["id"]: line["text"] for line in lines(plan.work / "material" / "documents.jsonl")}
    for id, text in whole.items():
        assert (kept[id] == text) == (id not in held)
    for id, query in held.items():
        assert query in whole[id] and query not in kept[id]


def test_negatives_are_of_other_documents(asked: Make, documents: Make) -> None:
    plan = asked()
    record = adapt(plan, documents)
    rows = lines(plan.work / "rows.jsonl")
    assert len(rows) == record["counts"]["rows"] <= 16
    assert all(row["positive_id"] not in row["negative_ids"] for row in rows)
    assert sum(len(row["negatives"]) for row in rows) == record["counts"]["negatives"]
    assert {len(row["negatives"]) for row in rows} <= {1, 2}


@pytest.mark.parametrize("method", ["listwise-kl", "margin-mse"])
def test_a_cross_encoder_teaches(method: str, asked: Make, documents: Make, make_cross: Make) -> None:
    plan = asked(teachers=(f"cross={make_cross(seed=1)}",), settings={"method": method})
    record = adapt(plan, documents)
    counts = record["counts"]
    assert record["method"] == method
    assert len(Labels(plan.work / "labels")) <= counts["rows"] + counts["negatives"]
    assert "Taught" in record["training"]["objective"]


def test_an_encoder_teaches_its_vectors(asked: Make, documents: Make, make_bi: Make) -> None:
    teacher = make_bi(seed=5)
    plan = asked(teachers=(f"bi={teacher}",), settings={"method": "embedding-mse", "steps": 60, "learning_rate": 1e-2})
    adapt(plan, documents)
    texts = [document.text for document in documents()]
    start, new, goal = (
        load_encoder(spec).encode_documents(texts).values for spec in (plan.encoder, str(plan.out), str(teacher))
    )
    assert np.square(new - goal).sum() < np.square(start - goal).sum() / 2


def test_judged_queries_are_not_trained_on_and_nothing_is_held_out(asked: Make, documents: Make) -> None:
    queries = tuple(Query(f"q{at}", f"cold water {at}") for at in range(4))
    qrels = Qrels({f"q{at}": {f"d{at}": 1} for at in range(4)} | {"another": {"d9": 1}})
    plan = asked(queries=queries, qrels=qrels)
    record = adapt(plan, documents)
    assert (record["evaluation"], record["judged"]["queries"], record["counts"]["held_out"]) == ("judged", 4, 0)
    text = (plan.work / "rows.jsonl").read_text()
    assert not any(query.text in text for query in queries)
    values = json.loads((plan.out / "values.json").read_text())["values"]
    assert values["before"].keys() == values["after"].keys() == {query.id for query in queries}


def test_queries_alone_are_measured_by_agreement_with_the_teacher(
    asked: Make, documents: Make, make_cross: Make
) -> None:
    queries = tuple(Query(f"q{at}", f"cold stone {at}") for at in range(4))
    record = adapt(asked(queries=queries, teachers=(f"cross={make_cross(seed=1)}",)), documents)
    assert record["evaluation"] == "agreement" and "not relevance" in record["agreement"]["about"]
    assert all(0 <= record["agreement"][name]["mean"] <= 1 for name in ("before", "after"))


def test_an_encoder_that_learned_nothing_is_not_recommended(asked: Make, documents: Make) -> None:
    record = adapt(asked(settings={"learning_rate": 1e-12, "steps": 1}), documents)
    assert record["pseudo"]["difference"]["mean"] == 0
    assert not record["recommended"] and not record["pseudo"]["worse"]


def test_the_same_call_again_gives_the_same_record_and_reads_nothing(asked: Make, documents: Make) -> None:
    plan = asked()
    record = adapt(plan, documents)
    assert adapt(plan, lambda: pytest.fail("read again")) == json.loads(json.dumps(record))
    with pytest.raises(Mismatch, match="its settings is"):
        adapt(asked(settings={"steps": 5}), documents)


@pytest.mark.parametrize("stop", ["documents", "queries mined", "rows labelled", "steps", "documents encoded after"])
def test_a_run_cut_off_in_any_stage_goes_on_to_the_same_encoder(
    stop: str, asked: Make, documents: Make, make_cross: Make
) -> None:
    teachers = (f"cross={make_cross(seed=1)}",)
    whole = adapt(asked("whole", teachers=teachers), documents)
    plan = asked("cut", teachers=teachers)

    def cut(unit: str, done: int, total: int) -> None:
        if unit == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(plan, documents, report=cut)
    assert not plan.out.exists() and plan.work.exists()
    again = adapt(plan, documents if stop == "documents" else lambda: pytest.fail("read again"))
    weights = [(folder / "model.safetensors").read_bytes() for folder in (plan.out, plan.out.with_name("whole"))]
    assert weights[0] == weights[1]
    assert again["pseudo"] == json.loads(json.dumps(whole["pseudo"]))


def check_cycle(work: Path) -> None:
    """Its pairs are questions with their own and with near passages, each labelled by both models."""
    pairs = {(line["query"], line["positive"]) for line in lines(work / "cycle-pairs.jsonl")}
    rows = lines(work / "rows.jsonl")
    own = {(row["query"], row["positive"]) for row in rows}
    near = {(row["query"], text) for row in rows for text in row["negatives"]}
    assert pairs <= own | near
    assert pairs & own and pairs & near
    for kind in ("bi", "cross"):
        assert len(Labels(work / "cycle.cycles" / "1" / f"labels-of-{kind}")) == len(pairs)


def test_a_cycle_of_a_trans_encoder_cut_off_in_each_phase_goes_on_to_the_same_encoder(
    asked: Make, documents: Make
) -> None:
    told = {"method": "trans-encoder", "max_tokens": 8, "steps": 2}
    whole = adapt(asked("whole", settings=told), documents)
    check_cycle(asked("whole", settings=told).work)
    plan = asked("cut", settings=told)
    left = ["rows labelled of 1 bi", "steps of 1/cross-1", "rows labelled of 1 cross", "steps of 1/bi-1"]

    def cut(unit: str, done: int, total: int) -> None:
        if left and unit == left[0]:
            left.pop(0)
            raise KeyboardInterrupt

    while left:
        with pytest.raises(KeyboardInterrupt):
            adapt(plan, documents, report=cut)
        assert not plan.out.exists()
    again = adapt(plan, lambda: pytest.fail("read again"))
    weights = [(folder / "model.safetensors").read_bytes() for folder in (plan.out, plan.out.with_name("whole"))]
    assert weights[0] == weights[1] != (Path(plan.encoder) / "model.safetensors").read_bytes()
    assert again["pseudo"] == json.loads(json.dumps(whole["pseudo"]))
    assert (whole["method"], whole["evaluation"], whole["teachers"]) == ("trans-encoder", "pseudo", [])
    assert whole["training"]["steps"] == 4 and 2 < whole["training"]["pairs"] <= 8  # two phases, of 2 steps of 4 pairs
    assert load_encoder(str(plan.out)).max_tokens == load_encoder(plan.encoder).max_tokens  # type: ignore[attr-defined]


def test_another_run_in_the_same_folder_is_refused(asked: Make, documents: Make) -> None:
    def cut(unit: str, done: int, total: int) -> None:
        if unit == "steps":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(asked(), documents, report=cut)
    with pytest.raises(Mismatch, match="its settings is"):
        adapt(asked(settings={"seed": 1}), documents)


def test_training_reads_less_of_a_text_and_the_encoder_as_much_as_before(asked: Make, documents: Make) -> None:
    plan = asked(settings={"max_tokens": 8})
    adapt(plan, documents)
    told = [json.loads((Path(folder) / "sentence_bert_config.json").read_text()) for folder in (plan.encoder, plan.out)]
    assert told[0]["max_seq_length"] == told[1]["max_seq_length"] == 24
    assert load_encoder(str(plan.out)).max_tokens == load_encoder(plan.encoder).max_tokens  # type: ignore[attr-defined]


class Generator:
    """A questioner of one's own: as a model that writes questions would be."""

    name, fingerprint = "made-up", "1"

    def ask(self, documents: Any) -> Iterator[Pair]:
        for document in documents:
            yield Pair(f"what of {document.id}", document.text, document.id, document.id)


def test_a_questioner_of_ones_own_asks(asked: Make, documents: Make) -> None:
    plan = asked()
    record = adapt(plan, documents, questioners=[Generator()])
    assert record["questioners"] == ["made-up"]
    assert all(row["query"].startswith("what of d") for row in lines(plan.work / "rows.jsonl"))


def test_a_slow_questioner_is_asked_of_few_documents_and_of_each_once(tmp_path: Path, documents: Make) -> None:
    from retr.distill.adapting.material import gather, pairs_in

    class Counting(Generator):
        def __init__(self, stop: int = 99) -> None:
            self.seen: list[str] = []
            self.stop = stop

        def ask(self, documents: Any) -> Iterator[Pair]:
            for document in documents:
                if len(self.seen) == self.stop:
                    raise KeyboardInterrupt
                self.seen.append(document.id)
                yield from super().ask([document])

    settings = AdaptSettings(steps=10, batch_size=4)

    def made(questioner: Counting, name: str) -> list[Pair]:
        gather(documents(), tmp_path / name, settings, [questioner], hold_out=True, report=lambda *told: None)
        return pairs_in(tmp_path / name)

    whole = made(one := Counting(), "whole")
    assert len(whole) == len(one.seen) == 40 < 48  # of those that are not held out
    with pytest.raises(KeyboardInterrupt):
        made(cut := Counting(stop=20), "cut")
    log = tmp_path / "cut" / "asked-0.jsonl"
    log.write_bytes(log.read_bytes() + b'{"documents": "torn')
    assert made(again := Counting(), "cut") == whole
    assert again.seen == one.seen[16:] and cut.seen == one.seen[:20]
    assert not log.exists()


def test_questioners_are_named_or_a_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from retr.distill.adapting.questions import open_questioners
    from retr.retrieval.errors import NotFound

    mine = types.ModuleType("mine")
    mine.Written, mine.nothing = (lambda source: Generator()), (lambda source: source)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mine", mine)
    assert [one.name for one in open_questioners((), "en", 0)] == ["ict", "title"]
    assert [one.name for one in open_questioners(["title", "mine:Written=x"], "en", 0)] == ["title", "made-up"]
    for specs, words in ((["titel"], "Did you mean 'title'"), (["ict", "ict"], "twice"), (["mine:nothing=x"], "ask")):
        with pytest.raises((BadInput, NotFound), match=words):
            open_questioners(specs, "en", 0)


def test_titles_ask_for_texts_that_do_not_repeat_them() -> None:
    from retr.distill.adapting.questions import Titles
    from retr.distill.pairs import PairSettings

    told = [
        Document("a", "It is red. It swims.", "Where the red fish swims"),
        Document("b", "How a stone falls today. It is red.", "How a stone falls today"),
        Document("c", "It is red. It swims.", "Fish"),
    ]
    (pair,) = Titles(PairSettings()).ask(told)
    assert (pair.query, pair.positive, pair.positive_id) == ("Where the red fish swims", "It is red. It swims.", "a")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"queries": (Query("q", "red"),)}, "there is none"),
        ({"qrels": Qrels({"q": {"d1": 1}})}, "no queries"),
        ({"queries": (Query("q", "red"),), "qrels": Qrels({"p": {"d1": 1}})}, "0 of the 1 queries"),
        ({"settings": {"method": "listwise-kl"}}, "needs a teacher"),
        ({"settings": {"method": "infonce"}, "teachers": ("a",)}, "leave --teacher out"),
        ({"settings": {"method": "trans-encoder"}, "teachers": ("a",)}, "leave --teacher out"),
        ({"settings": {"cycles": 2}}, "Set method trans-encoder"),
        ({"settings": {"method": "embedding-mse"}, "teachers": ("a", "b")}, "one encoder"),
    ],
)
def test_what_cannot_be_adapted_is_said_first(more: dict[str, Any], message: str, asked: Make) -> None:
    with pytest.raises(BadInput, match=message):
        asked(**more)


def test_scorers_and_encoders_are_not_averaged(asked: Make, documents: Make, make_bi: Make, make_cross: Make) -> None:
    plan = asked(teachers=(f"cross={make_cross()}", f"bi={make_bi()}"))
    with pytest.raises(BadInput, match="no mean"):
        adapt(plan, documents)


@pytest.mark.parametrize(("teacher", "message"), [("bi", "gives 10. Leave --method out"), ("cross", "gives scores")])
def test_vectors_are_learned_of_an_encoder_of_the_same_size(
    teacher: str, message: str, asked: Make, documents: Make, make_bi: Make, make_cross: Make
) -> None:
    folder = make_cross() if teacher == "cross" else make_bi(dense="torch.nn.modules.activation.Tanh")
    plan = asked(teachers=(f"{teacher}={folder}",), settings={"method": "embedding-mse"})
    with pytest.raises(BadInput, match=message):
        adapt(plan, documents)


def test_too_few_documents_to_measure_by_are_said_with_what_to_do(asked: Make, documents: Make) -> None:
    with pytest.raises(BadInput, match="Give queries and qrels, or more documents"):
        adapt(asked(), lambda: documents(20))


def test_a_document_that_comes_twice_is_said_and_can_be_mended(asked: Make, documents: Make) -> None:
    plan = asked()
    with pytest.raises(BadInput, match="d0"):
        adapt(plan, lambda: [*documents(), documents()[0]])
    assert adapt(plan, documents)["counts"]["documents"] == 60


def test_a_source_that_was_mistyped_does_not_stand_in_the_way(asked: Make, documents: Make, tmp_path: Path) -> None:
    def nothing() -> Iterator[Document]:
        yield from documents(4)
        raise NotFound("No file or folder 'nofile'.")

    def stop(unit: str, done: int, total: int) -> None:
        if (tmp_path / "new.adapting" / "material.json").exists():
            raise KeyboardInterrupt

    with pytest.raises(NotFound):
        adapt(asked(sources=("nofile",)), nothing)
    with pytest.raises(KeyboardInterrupt):
        adapt(asked(sources=("file",)), documents, report=stop)
    told = json.loads((tmp_path / "new.adapting" / "material.json").read_text())
    assert told["documents"] == len(documents())

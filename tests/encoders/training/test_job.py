"""A job: learns, goes on after a cut to the same weights, stops early, keeps the best, says what it did."""

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")
load_file = pytest.importorskip("safetensors.torch").load_file

from retr.encoders.objectives.contrastive import InfoNCE  # noqa: E402
from retr.encoders.training.optimising import optimiser, rate_at  # noqa: E402
from retr.encoders.training.rows import Rows, RowsSettings  # noqa: E402
from retr.encoders.training.settings import LoraSettings, TrainSettings  # noqa: E402
from retr.encoders.training.validating import ValidationSettings  # noqa: E402
from retr.retrieval.errors import BadInput, Mismatch  # noqa: E402


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def logged(folder: Path, name: str) -> list[float]:
    with (folder / "training.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def test_the_loss_falls_and_the_folder_says_what_was_done(make_job: Any, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    facts = make_job(steps=30).run(tmp_path / "out", lambda unit, done, total: steps.append((done, total)))
    losses = logged(tmp_path / "out", "loss")
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert steps == [(step, 30) for step in range(1, 31)]
    record = json.loads((tmp_path / "out" / "retr.json").read_text())["training"]
    assert record["rows"]["count"] == 12 and record["steps"] == 30 == facts["steps"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert record["rows"]["sha256"]["rows.jsonl"] in card and "Nothing was measured" in card
    assert (tmp_path / "out" / "curve.png").read_bytes()[1:4] == b"PNG"
    assert not (tmp_path / "out.training").exists()


def test_a_run_that_is_refused_before_it_begins_leaves_nothing(make_job: Any, tmp_path: Path) -> None:
    job = make_job(steps=1)
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"nothing": "of use"}\n')
    with pytest.raises(BadInput):
        replace(job, rows=replace(job.rows, files=str(empty))).run(tmp_path / "out")
    wrong = ValidationSettings(rows=replace(job.rows, files=str(empty), label="label"), metric="auc")
    with pytest.raises(BadInput):
        replace(job, validation=wrong).run(tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.training").exists()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_is_the_plain_loop_of_torch(make_job: Any, letters: Any, tmp_path: Path, accumulate: int) -> None:
    """The same rows, seeds, AdamW, schedule and clipping, written out without Lightning, give the same weights."""
    from retr.encoders.training.stream import seed_of

    job = make_job(accumulate=accumulate, steps=5, seed=3)
    job.run(tmp_path / "out")
    student, settings = letters(), job.settings
    student.module.train()
    rows, steps = Rows(job.rows, tmp_path / "again"), optimiser(student.module, settings)
    stream = [batch for epoch in range(9) for batch in rows.batches(4, seed=3, epoch=epoch)]
    for step in range(5):
        for number in range(step * accumulate, (step + 1) * accumulate):
            torch.manual_seed(seed_of(3, number, 0))
            (InfoNCE()(student, stream[number]) / accumulate).backward()
        torch.nn.utils.clip_grad_norm_(student.module.parameters(), 1.0)
        for group in steps.param_groups:
            group["lr"] = settings.learning_rate * rate_at(step, 5, settings)
        steps.step()
        steps.zero_grad()
    found = weights(tmp_path / "out")
    assert all(torch.allclose(found[name], value, atol=1e-6) for name, value in student.module.state_dict().items())


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("cut", [1, 4, 6])
def test_a_run_that_was_cut_comes_to_the_same_weights(
    make_job: Any, letters: Any, tmp_path: Path, cut: int, accumulate: int
) -> None:
    more = {"checkpoint_every": 2, "accumulate": accumulate, "schedule": "cosine"}
    make_job(**more).run(tmp_path / "whole")
    student = letters()
    student.fails_at = cut * accumulate
    with pytest.raises(KeyboardInterrupt):
        make_job(student, **more).run(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    again = letters()
    make_job(again, **more).run(tmp_path / "out")
    assert again.batches == (8 - (cut - 1) // 2 * 2) * accumulate  # It did not begin anew.
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "out"))
    assert logged(tmp_path / "whole", "loss") == logged(tmp_path / "out", "loss")


def test_a_run_that_is_told_to_end_is_no_success(
    make_job: Any, letters: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, before = letters(), signal.getsignal(signal.SIGTERM)
    encode = student.encode_queries

    def told(texts: Any) -> Any:
        if signal.getsignal(signal.SIGTERM) is not before:  # Else it would be the end of the tests.
            os.kill(os.getpid(), signal.SIGTERM)
        return encode(texts)

    monkeypatch.setattr(student, "encode_queries", told)
    with pytest.raises(SystemExit) as found:
        make_job(student).run(tmp_path / "out")
    assert found.value.code == 143 and not (tmp_path / "out").exists()


def test_another_seed_is_another_run(make_job: Any, tmp_path: Path) -> None:
    make_job().run(tmp_path / "one")
    make_job().run(tmp_path / "same")
    make_job(seed=1).run(tmp_path / "other")
    assert same(weights(tmp_path / "one"), weights(tmp_path / "same"))
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "other"))


def test_a_cut_run_is_not_gone_on_with_by_another_recipe(make_job: Any, letters: Any, tmp_path: Path) -> None:
    student = letters()
    student.fails_at = 3
    with pytest.raises(KeyboardInterrupt):
        make_job(student).run(tmp_path / "out")
    with pytest.raises(Mismatch, match="another settings"):
        make_job(learning_rate=1e-3).run(tmp_path / "out")
    with pytest.raises(Mismatch, match="another weights"):
        make_job(letters(seed=6)).run(tmp_path / "out")


def beir(folder: Path) -> Path:
    """Every word finds the one that follows it, as in the rows that are trained on."""
    words = ["apple", "bread", "candle", "dove", "echo"]
    (folder / "qrels").mkdir(parents=True)
    lines = {
        "corpus.jsonl": [json.dumps({"_id": f"d{n}", "text": word}) for n, word in enumerate(words)],
        "queries.jsonl": [json.dumps({"_id": f"q{n}", "text": word}) for n, word in enumerate(words)],
        "qrels/dev.tsv": ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n + 1}\t1" for n in range(4))],
    }
    for name, texts in lines.items():
        (folder / name).write_text("\n".join(texts) + "\n")
    return folder


def test_retrieval_is_measured_and_the_best_weights_are_kept(make_job: Any, letters: Any, tmp_path: Path) -> None:
    settings = ValidationSettings(beir=beir(tmp_path / "beir"), metric="mrr@10")
    facts = make_job(validation=settings, steps=40, validate_every=5).run(tmp_path / "out")
    measured = facts["validation"]
    values = logged(tmp_path / "out", "validation")
    assert measured["best"] == max(values) > measured["start"]
    assert measured["best_step"] == 5 * (values.index(max(values)) + 1)
    from retr.encoders.training.validating import make_validation, measure

    student = letters()
    student.module.load_state_dict(weights(tmp_path / "out"))
    assert measure(make_validation(settings, tmp_path / "held"), student) == measured["best"]


def test_a_first_stages_documents_are_put_into_the_students_order(letters: Any, tmp_path: Path) -> None:
    from retr.encoders.training.validating import make_validation, measure
    from retr.retrieval.runs import Run

    folder = beir(tmp_path / "beir")
    found = {f"q{n}": {f"d{n}": 3.0, f"d{n + 1}": 2.0, "d0": 1.0} for n in range(1, 3)}
    Run(found).save(tmp_path / "run.txt")
    settings = ValidationSettings(beir=folder, run=tmp_path / "run.txt", depth=2, metric="mrr@10")

    class Second(letters):  # type: ignore[misc]
        """Scores what is given second above what is given first."""

        def score(self, queries: Any, candidates: Any) -> list[torch.Tensor]:
            assert [len(texts) for texts in candidates] == [2]
            return [torch.arange(2.0)]

    assert measure(make_validation(settings, tmp_path / "held"), Second()) == pytest.approx(2 / 4)
    Run({"q1": {"d9": 1.0}}).save(tmp_path / "other.txt")
    with pytest.raises(BadInput, match="found 'd9', which"):
        make_validation(replace(settings, run=tmp_path / "other.txt"), tmp_path / "held")
    Run({"x": {"d1": 1.0}}).save(tmp_path / "none.txt")
    with pytest.raises(BadInput, match="has no query of"):
        make_validation(replace(settings, run=tmp_path / "none.txt"), tmp_path / "held")


def test_it_stops_when_it_gets_no_better(make_job: Any, tmp_path: Path) -> None:
    """Steps too small to change an order: the first validation is the best, two more are no better."""
    settings = ValidationSettings(beir=beir(tmp_path / "beir"), metric="mrr@10")
    job = make_job(validation=settings, steps=40, validate_every=5, patience=2, learning_rate=1e-12)
    assert job.run(tmp_path / "out")["steps"] == 15


def test_pairs_and_candidates_are_measured_too(letters: Any, rows: Any, tmp_path: Path) -> None:
    from retr.encoders.training.validating import make_validation, measure

    student = letters(dropout=0.0)
    alike = (("apple", "apple"), ("bread", "beard code"))  # not the same likeness, whatever a processor rounds
    lines = [{"query": one, "positive": other, "negatives": ["zzz", "qqq"], "y": 1} for one, other in alike]
    lines += [{"query": "apple", "positive": "zzz", "negatives": ["apple"], "y": 0}]
    path = tmp_path / "held.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = ValidationSettings(rows=RowsSettings(str(path), label="y"), metric="spearman")
    assert measure(make_validation(pairs, tmp_path / "a"), student) == pytest.approx(0.8660254)
    lists = ValidationSettings(rows=RowsSettings(str(path), negatives="negatives"), metric="mrr@10")
    assert measure(make_validation(lists, tmp_path / "b"), student) == pytest.approx((1 + 1 + 0.5) / 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "exactly one of beir"),
        ({"beir": Path("x"), "metric": "spearman"}, "does not fit"),
        ({"run": Path("x"), "rows": RowsSettings("x.jsonl")}, "run is a first stage's"),
        ({"beir": Path("x"), "depth": 0}, "depth is 0"),
        ({"beir": Path("x"), "metric": "ndgc@10"}, "ndcg"),
    ],
)
def test_a_wrong_validation_is_refused(settings: dict[str, Any], words: str) -> None:
    from retr.retrieval.errors import RetrError

    with pytest.raises(RetrError, match=words):
        ValidationSettings(**settings)


def test_low_rank_trains_and_saves_a_model_of_the_same_form(make_job: Any, letters: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    before = letters().module.state_dict()
    make_job(lora=LoraSettings(rank=2)).run(tmp_path / "out")
    after = weights(tmp_path / "out")
    assert after.keys() == before.keys()
    assert not torch.equal(after["0.weight"], before["0.weight"])
    assert torch.equal(after["1.weight"], before["1.weight"])


def test_low_rank_goes_on_after_a_cut(make_job: Any, letters: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    more = {"lora": LoraSettings(rank=2, dropout=0.1), "checkpoint_every": 2}
    make_job(**more).run(tmp_path / "whole")
    student = letters()
    student.fails_at = 6
    with pytest.raises(KeyboardInterrupt):
        make_job(student, **more).run(tmp_path / "out")
    make_job(letters(), **more).run(tmp_path / "out")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "out"))


def test_bfloat16_learns_too(make_job: Any, tmp_path: Path) -> None:
    make_job(precision="bfloat16", steps=30).run(tmp_path / "out")
    losses = logged(tmp_path / "out", "loss")
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert weights(tmp_path / "out")["0.weight"].dtype == torch.float32


def test_a_loss_that_is_no_number_ends_the_run(make_job: Any, tmp_path: Path) -> None:
    def broken(student: Any, batch: Any) -> torch.Tensor:
        return InfoNCE()(student, batch) * float("nan")

    with pytest.raises(BadInput, match="The loss became nan by step 1"):
        replace(make_job(), objective=broken).run(tmp_path / "out")


def test_what_the_machine_cannot_do_is_one_line(make_job: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="This machine cannot train so") as failure:
        make_job(strategy="nonsense").run(tmp_path / "out")
    assert "\n" not in str(failure.value)


def test_a_folder_that_is_there_is_left_alone(make_job: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(BadInput, match="exists already"):
        make_job().run(tmp_path / "out")


def test_settings_and_a_job_need_no_lightning() -> None:
    import subprocess
    import sys

    heavy = {"torch", "pytorch_lightning", "duckdb"}
    code = f"import retr.encoders.training.recipe, sys; assert not {heavy} & set(sys.modules)"
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert TrainSettings().steps is None

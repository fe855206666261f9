"""The cycles of tiny models: no label leaks, phases begin where they should, mutual and self, kills, kept models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pytorch_lightning")

from retr.distill.labelling.keys import pair_id  # noqa: E402
from retr.distill.labelling.store import Labels  # noqa: E402
from retr.distill.recipe import read_recipe  # noqa: E402
from retr.distill.trans.teaching import ensemble, open_model  # noqa: E402
from retr.encoders import load_encoder, load_scorer  # noqa: E402
from retr.encoders.reading.safetensors_file import weight_files  # noqa: E402
from retr.encoders.training import job as training  # noqa: E402
from retr.encoders.training.job import TrainingJob  # noqa: E402
from retr.retrieval.errors import BadInput, Mismatch, RetrError  # noqa: E402

from .conftest import PAIRS, TEXTS  # noqa: E402


def weights(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in weight_files(folder))


def everything(work: Path) -> dict[str, bytes]:
    """Weights, labels and measures of every cycle, by their names."""
    named = (path for path in work.rglob("*") if path.suffix in (".safetensors", ".parquet"))
    return {str(path.relative_to(work)): path.read_bytes() for path in named}


def test_one_model_teaches_itself(recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path) -> None:
    told = {"trans-encoder": {"cycles": 2, "start": "mirror-bert", "text_tokens": 16}}
    path = recipe(write_pairs(), model=str(make_bi(seed=1)), validated=True, **told)
    seen: set[str] = set()
    made = read_recipe(path).run(lambda unit, done, total: seen.add(unit))
    assert {"steps of start/bi-1", "rows labelled of 1 bi", "steps of 2/cross-1", "steps of 2/bi-1"} <= seen
    out, work = tmp_path / "out", tmp_path / "out.cycles"
    assert made["kind"] == "trans-encoder"
    # Four of the eight pairs are held out, one of them in the other order.
    assert made["figures"]["pairs"] == 4
    assert made["trans-encoder"]["left_out"] == 4
    assert made["trans-encoder"]["kept"] == {"bi": 2, "cross": 2}
    assert weights(out / "bi") == weights(work / "2" / "bi-1") != weights(work / "1" / "bi-1")
    course = made["trans-encoder"]["course"]
    assert [(one["cycle"], one["kind"]) for one in course] == [
        ("start", "bi"), ("1", "cross"), ("1", "bi"), ("2", "cross"), ("2", "bi"),
    ]  # fmt: skip
    assert all(-1 <= one["models"][0] == one["ensemble"] <= 1 for one in course)
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert load_encoder(f"bi={out / 'bi'}").dim == 32
    assert np.isfinite(load_scorer(f"cross={out / 'cross'}").score("sky", TEXTS)).all()
    assert json.loads((out / "retr.json").read_text())["trans-encoder"]["mode"] == "strict"
    with pytest.raises(BadInput, match="exists already"):
        read_recipe(path).run()


def test_sentence_transformers_opens_what_is_kept(
    recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path, recwarn: Any
) -> None:
    library = pytest.importorskip("sentence_transformers")
    read_recipe(recipe(write_pairs(), model=str(make_bi(seed=1)))).run()
    out = tmp_path / "out"
    theirs = library.SentenceTransformer(str(out / "bi"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(theirs, load_encoder(f"bi={out / 'bi'}").encode_documents(TEXTS).values, atol=1e-5)
    scores = library.CrossEncoder(str(out / "cross"), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    ours = [load_scorer(f"cross={out / 'cross'}").score(a, [b])[0] for a, b in PAIRS]
    np.testing.assert_allclose(scores, ours, atol=1e-4)


def test_labels_are_bounded_and_of_the_right_teacher(
    recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path
) -> None:
    read_recipe(recipe(write_pairs(), model=str(make_bi(seed=1)))).run()
    work = tmp_path / "out.cycles"
    first, second = Labels(work / "1" / "labels-of-bi"), Labels(work / "1" / "labels-of-cross")
    vectors = dict(
        zip(TEXTS, load_encoder(f"bi={work / 'start' / 'bi-1'}").encode_documents(TEXTS).values, strict=True)
    )
    scorer = load_scorer(f"cross={work / '1' / 'cross-1'}")
    for a, b in PAIRS:
        cosine = float(np.clip(vectors[a] @ vectors[b], 0, 1))
        assert first.values([pair_id(b, a, symmetric=True)])[0, 0] == pytest.approx(cosine, abs=1e-5)
        share = 1 / (1 + np.exp(-scorer.score(a, [b])[0]))
        assert second.values([pair_id(a, b)])[0, 0] == pytest.approx(share, abs=1e-5)
    assert len(first) == len(second) == len(PAIRS)


@pytest.mark.parametrize(("both", "rows"), [(True, 16), (False, 8)])
def test_a_cross_encoder_reads_both_orders_or_one(
    both: bool, rows: int, recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path
) -> None:
    doubled = write_pairs("doubled", [*PAIRS, *PAIRS], [0.5] * 8 + [1.0] * 8)
    read_recipe(recipe(doubled, model=str(make_bi(seed=1)), **{"trans-encoder": {"both_orders": both}})).run()
    card = json.loads((tmp_path / "out" / "cross" / "retr.json").read_text())["training"]
    assert card["rows"]["count"] == rows
    other = json.loads((tmp_path / "out" / "bi" / "retr.json").read_text())["training"]
    assert other["rows"]["count"] == 8


@pytest.mark.slow
def test_shuffled_labels_change_no_bit(recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path) -> None:
    model, told = str(make_bi(seed=1)), {"trans-encoder": {"start": "simcse"}, "validated": True}
    files = write_pairs(labels=[0.1, 0.9, 0.3, 0.2, 0.8, 0.5, 0.6, 0.4])
    read_recipe(recipe(files, model=model, **told), out=tmp_path / "one").run()
    files = write_pairs(pairs=PAIRS[::-1], labels=[0.5, 0.1, 0.9, 0.8, 0.4, 0.2, 0.3, 0.6])
    held_out = tmp_path / "held-out.jsonl"
    path = recipe(files, model=model, **told)
    lines = [json.loads(line) for line in held_out.read_text().splitlines()]
    held_out.write_text("".join(json.dumps({**line, "label": 1 - line["label"]}) + "\n" for line in lines))
    read_recipe(path, out=tmp_path / "two").run()
    one, two = everything(tmp_path / "one.cycles"), everything(tmp_path / "two.cycles")
    assert len(one) == 5  # the start, two models and two files of labels
    assert one == two


@pytest.mark.parametrize("refresh", [True, False])
def test_each_phase_begins_with_the_right_weights(
    refresh: bool, recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: dict[str, dict[str, Any]] = {}
    run = TrainingJob.run

    def watched(self: TrainingJob, out: Path, report: Any) -> Any:
        module: Any = self.student.module
        body = module.encoder if hasattr(module, "poolings") else module.base_model
        began["/".join(out.parts[-2:])] = {name: value.clone() for name, value in body.state_dict().items()}
        return run(self, out, report)

    monkeypatch.setattr(TrainingJob, "run", watched)
    model, plain = make_bi(seed=1), make_bi(seed=2)
    told = {"trans-encoder": {"cycles": 2, "refresh": refresh, "start": "mirror-bert"}}
    read_recipe(recipe(write_pairs(), model=str(model), plain=str(plain), **told)).run()
    work = tmp_path / "out.cycles"
    before = {"1/cross-1": "start/bi-1", "1/bi-1": "1/cross-1", "2/cross-1": "1/bi-1", "2/bi-1": "2/cross-1"}
    for phase, predecessor in before.items():
        first = plain if phase.endswith("cross-1") else work / "start" / "bi-1"
        wanted = first if refresh else work / predecessor
        for folder, same in ((wanted, True), (first if not refresh else work / predecessor, False)):
            assert same_weights(began[phase], folder) is (same or folder == wanted), (phase, folder)


def same_weights(found: dict[str, Any], folder: Path) -> bool:
    from safetensors.torch import load_file

    stored = load_file(str(folder / "model.safetensors"))
    stored = {name.removeprefix("bert."): value for name, value in stored.items()}
    shared = [name for name in found if name in stored and "pooler" not in name]
    assert len(shared) > 20
    return all(torch.equal(found[name], stored[name]) for name in shared)


@pytest.mark.slow
def test_two_models_alike_are_one(recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path) -> None:
    model, files = str(make_bi(seed=1)), write_pairs()
    read_recipe(recipe(files, model=model), out=tmp_path / "self").run()
    read_recipe(recipe(files, model=[model, model]), out=tmp_path / "mutual").run()
    for kind in ("bi", "cross"):
        alone = weights(tmp_path / "self" / kind)
        assert weights(tmp_path / "mutual" / f"{kind}-1") == weights(tmp_path / "mutual" / f"{kind}-2") == alone


@pytest.mark.slow
def test_the_order_of_models_does_not_matter(recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path) -> None:
    models, files = [str(make_bi(seed=seed)) for seed in (1, 2)], write_pairs()
    read_recipe(recipe(files, model=models), out=tmp_path / "one").run()
    read_recipe(recipe(files, model=models[::-1]), out=tmp_path / "two").run()
    for kind in ("bi", "cross"):
        assert weights(tmp_path / "one" / f"{kind}-1") == weights(tmp_path / "two" / f"{kind}-2")
        folders = [tmp_path / "one" / f"{kind}-{number}" for number in (1, 2)]
        asked = [question(a, b) for a, b in PAIRS]
        each = [open_model(kind, folder).answer(asked) for folder in folders]
        both = ensemble(kind, folders).answer(asked)
        scaled = (lambda x: 1 / (1 + np.exp(-x))) if kind == "cross" else (lambda x: x)
        mean = [(scaled(one) + scaled(two)) / 2 for one, two in zip(*each, strict=True)]
        np.testing.assert_allclose(np.ravel(both), np.ravel(mean), atol=1e-6)


def question(a: str, b: str) -> Any:
    from retr.distill.labelling.teachers import Question

    return Question(a, (b,))


@pytest.mark.slow
def test_a_run_cut_off_anywhere_comes_to_the_same(recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path) -> None:
    models = [str(make_bi(seed=seed)) for seed in (1, 2)]
    path = recipe(write_pairs(), model=models, **{"trans-encoder": {"start": "mirror-bert"}})
    read_recipe(path, out=tmp_path / "whole").run()
    wanted = everything(tmp_path / "whole.cycles")
    assert len(wanted) == 8
    cut, kills = tmp_path / "cut", 0
    killed_in(path, cut, "steps of 1/cross-2")

    class Killed(BaseException):
        pass

    while True:
        seen = 0

        def report(unit: str, done: int, total: int) -> None:
            nonlocal seen
            seen += 1
            if (seen > 2 and done < total) or seen > 4:
                raise Killed(unit)

        try:
            read_recipe(path, out=cut).run(report)
            break
        except Killed:
            kills += 1
            assert not cut.exists()
    assert kills > 1
    assert everything(tmp_path / "cut.cycles") == wanted


def killed_in(path: Path, out: Path, phase: str) -> None:
    """Run the recipe in a process that kills itself after the second report of a phase."""
    code = f"""
import os, signal
from pathlib import Path
from retr.distill.recipe import read_recipe
def report(unit, done, total):
    if unit == {phase!r} and done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
read_recipe(Path({str(path)!r}), out=Path({str(out)!r})).run(report)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (out.with_name("cut.cycles") / "1" / "cross-1").is_dir()


def test_another_recipe_does_not_go_on(recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path) -> None:
    model = str(make_bi(seed=1))
    read_recipe(recipe(write_pairs(), model=model)).run()
    shutil.rmtree(tmp_path / "out")
    for changes, words in (
        ({"cross": {"steps": 4}}, "another cross"),
        ({"trans-encoder": {"cycles": 2}}, "another trans-encoder"),
        ({"validated": True}, "another validation"),
        ({"model": str(make_bi(seed=2))}, "another weights"),
    ):
        with pytest.raises(Mismatch, match=words):
            read_recipe(recipe(write_pairs(), **{"model": model, **changes})).run()
    files = write_pairs(pairs=PAIRS[:6])
    with pytest.raises(Mismatch, match="another data"):
        read_recipe(recipe(files, model=model)).run()


@pytest.mark.slow
def test_paper_keeps_what_the_labels_pick(
    recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retr.distill.trans import cycling

    given = {"start/bi-1": 0.0, "1/cross-1": 0.5, "1/bi-1": 0.3, "2/cross-1": 0.4, "2/bi-1": 0.6}
    monkeypatch.setattr(cycling, "measured", lambda teacher, rows, metric: given[teacher.name])
    picked: list[Any] = []
    begin = training.TrainingJob._begin
    monkeypatch.setattr(TrainingJob, "_begin", lambda self, *rest: picked.append(self.validation) or begin(self, *rest))
    told = {"trans-encoder": {"cycles": 2, "mode": "paper"}, "cross": {"validate_every": 1}}
    made = read_recipe(recipe(write_pairs(), model=str(make_bi(seed=1)), validated=True, **told)).run()
    assert made["trans-encoder"]["kept"] == {"bi": 2, "cross": 1}
    assert made["trans-encoder"]["left_out"] == 0
    assert made["figures"]["spearman of bi"] == 0.6
    assert len(picked) == 4
    assert all(one is not None for one in picked)
    work = tmp_path / "out.cycles"
    assert weights(tmp_path / "out" / "cross") == weights(work / "1" / "cross-1")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "nowhere"}, "model is 'nowhere'"),
        ({"model": []}, "0 models"),
        ({"plain": ["a", "b"]}, "name as many"),
        ({"trans-encoder": {"cycles": 0}}, "cycles is 0"),
        ({"trans-encoder": {"text_tokens": -1}}, "text_tokens is -1"),
        ({"trans-encoder": {"mode": "papers"}}, "'strict'"),
        ({"trans-encoder": {"mode": "paper"}}, "picks by labelled pairs"),
        ({"bi": {"devices": 2}}, "one device"),
        ({"student": {"poling": "cls"}}, "Did you mean 'pooling'"),
        ({"backbone": {"layers": 9}}, "layers is 9"),
        ({"validation": {"metric": "mrr@10", "rows": {"files": "x.jsonl"}}}, "rows with a label"),
        ({"data": {"files": "missing.jsonl"}}, "no file 'missing.jsonl'"),
    ],
)
def test_a_wrong_recipe_is_one_line(
    changes: dict[str, Any], words: str, recipe: Any, write_pairs: Any, make_bi: Any, tmp_path: Path
) -> None:
    with pytest.raises(RetrError, match=words) as caught:
        read_recipe(recipe(write_pairs(), **{"model": str(make_bi()), **changes})).run()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()

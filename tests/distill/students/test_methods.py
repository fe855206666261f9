"""Recipes with a teacher: any teacher, any student, and what is wrong with a recipe said before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pytorch_lightning")

from retr.distill.labelling.keys import pair_id, text_id
from retr.distill.labelling.store import Labels
from retr.distill.labelling.teachers import ScorerTeacher
from retr.distill.recipe import read_recipe
from retr.encoders import load_encoder, load_scorer
from retr.retrieval.errors import RetrError

TEXTS = ["the red fish swims", "a stone falls", "cold water", "blue sky", "in the sky", "red stone", "query water", "a"]


@pytest.fixture
def data(tmp_path: Path) -> str:
    lines = [
        {"query": text, "positive": TEXTS[at - 1], "negatives": [TEXTS[at - 3], TEXTS[at - 4]]}
        for at, text in enumerate(TEXTS)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def recipe(tmp_path: Path, rows: str, **told: Any) -> Path:
    """A recipe with a table of each value that is one; the others stand on top."""
    top = {"out": str(tmp_path / "out"), **told}
    tables = {"train": {"steps": 3, "batch_size": 4, "learning_rate": 1e-2, "accelerator": "cpu"}}
    tables["data"] = {"files": rows, "negatives": "negatives"}  # type: ignore[dict-item]
    tables |= {name: value for name, value in top.items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in top.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = tmp_path / "recipe.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("method", ["margin-mse", "listwise-kl"])
@pytest.mark.parametrize("kind", ["bi", "cross", "uni", "poly"])
def test_a_cross_encoder_teaches_a_student_of_every_kind(
    method: str, kind: str, data: str, make_bi: Any, make_cross: Any, tmp_path: Path
) -> None:
    teacher, model = make_cross(seed=1), make_bi(seed=2)
    sizes = {"context_tokens": 10, "candidate_tokens": 10}
    told = {"student": sizes} if kind in ("uni", "poly") else {}
    path = recipe(tmp_path, data, method=method, teacher=f"cross={teacher}", model=str(model), kind=kind, **told)
    made = read_recipe(path).run()
    scorer, labels = load_scorer(f"cross={teacher}"), Labels(tmp_path / "out.labels")
    assert made["figures"] == {"labels": len(labels), "rows": 8, "steps": 3}
    assert made["teacher"]["name"] == f"cross={teacher}"
    wanted = scorer.score(TEXTS[0], [TEXTS[-1]])[0]
    assert labels.values([pair_id(TEXTS[0], TEXTS[-1])])[0, 0] == pytest.approx(wanted, abs=1e-5)
    if kind == "bi":
        assert load_encoder(f"bi={tmp_path / 'out'}").dim == 32
    else:
        assert np.isfinite(load_scorer(f"{kind}={tmp_path / 'out'}").score("sky", TEXTS)).all()
    record = json.loads((tmp_path / "out" / "retr.json").read_text())["training"]["recipe"]
    assert record["teacher_fingerprint"] == labels.facts.fingerprint
    assert (record["method"], record["teacher"]) == (method, f"cross={teacher}")


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Any]:
    """`[data]` of rows of one pair, with labels."""
    lines = [{"query": text, "positive": TEXTS[at - 1], "label": at % 2} for at, text in enumerate(TEXTS)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"files": str(tmp_path / "pairs.jsonl"), "label": "label"}


@pytest.mark.parametrize(
    ("method", "kind", "scale"),
    [("soft-bce", "cross", "sigmoid"), ("cosine-mse", "bi", "sigmoid"), ("logit-mse", "cross", "raw")],
)
def test_a_teachers_numbers_of_pairs_are_met_more_nearly(
    method: str, kind: str, scale: str, pairs: Any, make_bi: Any, make_cross: Any, tmp_path: Path
) -> None:
    teacher, model = load_scorer(f"cross={(folder := make_cross(seed=1))}"), str(make_bi(seed=2))
    goal = np.array([teacher.score(text, [TEXTS[at - 1]])[0] for at, text in enumerate(TEXTS)])
    goal = 1 / (1 + np.exp(-goal)) if scale == "sigmoid" else goal
    errors = []
    for steps in (1, 40):
        train = {"steps": steps, "batch_size": 8, "learning_rate": 1e-2 if steps > 1 else 1e-9, "accelerator": "cpu"}
        told = {"method": method, "teacher": f"cross={folder}", "model": model, "kind": kind, "train": train}
        out = tmp_path / f"after-{steps}"
        read_recipe(recipe(tmp_path, "", data=pairs, labels=str(tmp_path / "kept"), **told), out=out).run()
        if kind == "bi":
            left, right = (
                load_encoder(str(out)).encode_documents(some).values for some in (TEXTS, [TEXTS[-1], *TEXTS])
            )
            found = (left * right[: len(TEXTS)]).sum(1)
        else:
            scores = load_scorer(f"cross={out}")
            found = np.array([scores.score(text, [TEXTS[at - 1]])[0] for at, text in enumerate(TEXTS)])
            found = 1 / (1 + np.exp(-found)) if scale == "sigmoid" else found
        errors.append(float(np.square(found - goal).mean()))
    assert errors[1] < errors[0] / 2


def test_labels_and_logits_are_mixed_by_their_weight(pairs: Any, make_bi: Any, make_cross: Any, tmp_path: Path) -> None:
    told = {
        "method": "mixed-mse",
        "teacher": f"cross={make_cross(seed=1)}",
        "model": str(make_bi(seed=2)),
        "kind": "cross",
    }
    made = {}
    for weight in (0.5, 1.0):
        out = tmp_path / f"{weight}"
        path = recipe(
            tmp_path, "", data=pairs, labels=str(tmp_path / "kept"), **told, **{"mixed-mse": {"weight": weight}}
        )
        record = read_recipe(path, out=out).run()
        assert f"weight={weight}" in record["training"]["objective"]
        made[weight] = (out / "model.safetensors").read_bytes()
    assert made[0.5] != made[1.0]


def test_an_encoder_teaches_its_vectors(data: str, make_bi: Any, tmp_path: Path) -> None:
    teacher, model = make_bi(seed=1), make_bi(seed=2)
    train = {"steps": 60, "batch_size": 8, "learning_rate": 1e-2, "accelerator": "cpu"}
    path = recipe(tmp_path, data, method="embedding-mse", teacher=str(teacher), model=str(model), train=train)
    read_recipe(path).run()
    before, after, goal = (
        load_encoder(f"bi={folder}").encode_documents(TEXTS).values for folder in (model, tmp_path / "out", teacher)
    )
    errors = [float(np.square(vectors - goal).sum(1).mean()) for vectors in (before, after)]
    assert errors[1] < errors[0] / 4
    labels = Labels(tmp_path / "out.labels")
    np.testing.assert_allclose(labels.values([text_id(TEXTS[3], "documents")])[0], goal[3], atol=1e-6)


def test_teachers_are_averaged_and_labels_used_again(
    data: str, make_bi: Any, make_cross: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers = [f"cross={make_cross(seed=seed)}" for seed in (1, 2)]
    settings = {"scale": "sigmoid", "factor": 2.0}
    told = {"method": "margin-mse", "teacher": teachers, "model": str(make_bi(seed=3)), "margin-mse": settings}
    path = recipe(tmp_path, data, labels=str(tmp_path / "kept"), **told)
    read_recipe(path).run()
    logits = [load_scorer(teacher).score(TEXTS[0], [TEXTS[-1]])[0] for teacher in teachers]
    mean = np.mean([1 / (1 + np.exp(-logit)) for logit in logits])
    assert Labels(tmp_path / "kept").values([pair_id(TEXTS[0], TEXTS[-1])])[0, 0] == pytest.approx(mean, abs=1e-5)

    def never(teacher: Any, questions: Any) -> Any:
        assert not questions, "the teacher was asked again"
        return []

    monkeypatch.setattr(ScorerTeacher, "answer", never)
    again = tmp_path / "again"
    read_recipe(path, out=again).run()
    assert (again / "model.safetensors").read_bytes() == (tmp_path / "out" / "model.safetensors").read_bytes()
    with pytest.raises(AssertionError, match="asked again"):
        read_recipe(recipe(tmp_path, data, labels=str(tmp_path / "new"), **told), out=tmp_path / "x").run()


def test_the_seed_of_the_command_stands_above(data: str, make_bi: Any, make_cross: Any, tmp_path: Path) -> None:
    told = {"method": "margin-mse", "teacher": str(make_cross()), "model": str(make_bi())}
    path = recipe(tmp_path, data, **told, train={"seed": 3})
    assert read_recipe(path).recipe.settings.seed == 3
    assert read_recipe(path, seed=5).recipe.settings.seed == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": []}, "teacher is empty"),
        ({"kind": "tri"}, "No kind of student named 'tri'"),
        ({"model": "nowhere"}, "is no folder"),
        ({"margin-mse": {"factor": 0.0}}, "factor is 0.0"),
        ({"margin-mse": {"scale": "tanh"}}, "'sigmoid'"),
        ({"data": {"files": "x.jsonl"}}, "needs negatives"),
        ({"corpus": "x"}, "No setting"),
        ({"teacher": "tross=x"}, "No teacher named 'tross'"),
        ({"student": {"poling": "cls"}}, "Did you mean 'pooling'"),
        ({"validation": {"metric": "x"}}, "exactly one of beir"),
        ({"method": "embedding-mse"}, "gives scores"),
        ({"method": "soft-bce"}, "one pair a row"),
        ({"method": "soft-bce", "soft-bce": {"scale": "raw"}}, "sigmoid"),
        ({"method": "cosine-mse", "kind": "cross"}, "Set kind to bi"),
        ({"method": "logit-mse", "logit-mse": {"factor": 0.0}}, "factor is 0.0"),
        ({"method": "mixed-mse", "data": {"files": "x.jsonl"}}, "name their column"),
        ({"method": "mixed-mse", "mixed-mse": {"weight": 0.0}}, "weight is 0.0"),
    ],
)
def test_a_wrong_recipe_is_one_line(
    changes: dict[str, Any], words: str, data: str, make_bi: Any, make_cross: Any, tmp_path: Path
) -> None:
    told = {"method": "margin-mse", "teacher": f"cross={make_cross()}", "model": str(make_bi())}
    with pytest.raises(RetrError, match=words) as caught:
        read_recipe(recipe(tmp_path, data, **{**told, **changes})).run()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()

"""A recipe of kind filip: trained, gone on with nothing lost, opened again."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

from retr.encoders.trainable.images.opening import open_filip  # noqa: E402
from retr.encoders.training.recipe import read_recipe  # noqa: E402

WORDS = ("red", "blue", "green", "cold", "warm", "wet")
ROWS = [{"caption": caption, "image": f"{at}.png"} for at, caption in enumerate(WORDS)]


def recipe(folder: Path, model: Path, images: Path, interaction: str) -> Path:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    held = [{**ROWS[at], "others": [ROWS[(at + more) % 6]["image"] for more in (1, 2)]} for at in range(6)]
    (folder / "held.jsonl").write_text("\n".join(map(json.dumps, held)))
    path = folder / "recipe.toml"
    path.write_text(f"""
        kind = "filip"
        model = "{model}"
        out = "{folder / interaction}"
        [data]
        files = "{folder / "rows.jsonl"}"
        query = "caption"
        positive = "image"
        [student]
        images = "{images}"
        interaction = "{interaction}"
        [objective]
        name = "filip"
        [validation]
        metric = "mrr@10"
        rows = {{ files = "{folder / "held.jsonl"}", query = "caption", positive = "image", negatives = "others" }}
        student = "scores"
        [train]
        steps = 30
        batch_size = 6
        learning_rate = 1e-2
        accelerator = "cpu"
        validate_every = 30
    """)
    return path


@pytest.mark.parametrize("interaction", ["tokens", "global"])
def test_it_learns_its_rows(model: Path, images: Path, tmp_path: Path, interaction: str) -> None:
    plan = read_recipe(recipe(tmp_path, model, images, interaction))
    facts = plan.job().run(plan.recipe.out)
    assert facts["validation"]["best"] > facts["validation"]["start"]
    assert facts["validation"]["best"] == 1.0
    again = open_filip(plan.recipe.out)
    assert again.interaction == interaction
    assert not torch.equal(again.heads.log_scale, open_filip(model).heads.log_scale)

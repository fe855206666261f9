"""What each process of a training runs: FOLDER MODEL OBJECTIVE DEVICES BATCH, for `test_processes.py`.

AdamW with an epsilon as large as its rate is the gradient itself with momentum: weights after a step tell the gradient.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from retr.encoders.objectives import Objective, objective_from
from retr.encoders.trainable.bi import open_bi
from retr.encoders.training.job import TrainingJob
from retr.encoders.training.rows import RowsSettings
from retr.encoders.training.settings import TrainSettings

STEPS = 3


@dataclass
class Noted:
    """An objective whose losses are kept."""

    objective: Objective
    losses: list[float]

    def __call__(self, student: Any, batch: Any) -> torch.Tensor:
        loss = self.objective(student, batch)
        self.losses.append(float(loss))
        return loss

    def __repr__(self) -> str:
        return repr(self.objective)


def train(folder: Path, model: Path, objective: str, devices: int, batch: int) -> None:
    """Train, and write losses and weights of this process to `rank-N.json` and `rank-N.safetensors`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    student = open_bi(model)
    for part in student.module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0  # Two processes draw other random numbers than one.
    losses: list[float] = []
    settings = TrainSettings(
        steps=STEPS,
        batch_size=batch,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        accelerator="cpu",
        learning_rate=1e3,
        epsilon=1e3,
        weight_decay=0.0,
        schedule="constant",
        warmup=0.0,
        clip_norm=None,
    )
    rows = RowsSettings(str(folder / "rows.jsonl"), negatives="negatives")
    noted = Noted(objective_from(json.loads(objective), "objective"), losses)
    TrainingJob(student, rows, noted, settings).run(folder / "out")
    name = f"rank-{os.environ.get('LOCAL_RANK', '0')}"
    save_file(
        {key: value.clone() for key, value in student.module.state_dict().items()}, folder / f"{name}.safetensors"
    )
    (folder / f"{name}.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))

"""What each process of a sharded training runs: FOLDER MODEL STRATEGY FAIL_AT, for `test_sharding.py`.

Lightning's FSDP asks for a GPU, torch's runs on the CPU too: `fsdp_on_cpu` is Lightning's, told of the CPU.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import FSDPStrategy, StrategyRegistry
from torch.distributed.fsdp import FullyShardedDataParallel

from retr.encoders.objectives.contrastive import InfoNCE
from retr.encoders.trainable.bi import BiSettings, open_bi
from retr.encoders.training.job import TrainingJob
from retr.encoders.training.rows import RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.encoders.training.validating import ValidationSettings


class OnCpu(FSDPStrategy):
    """Lightning's strategy over torch's on the CPU."""

    def _setup_model(self, model: torch.nn.Module) -> torch.nn.Module:
        spread = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"), **self.policy)
        units = [type(part.module).__name__ for part in spread.modules() if isinstance(part, FullyShardedDataParallel)]
        assert units == ["_Learner", "BertLayer", "BertLayer"], units
        return spread

    @property
    def policy(self) -> dict[str, Any]:
        return {"auto_wrap_policy": self.kwargs["auto_wrap_policy"]}


class Failing(InfoNCE):
    """InfoNCE that ends its process at a step, as a power cut would."""

    fails_at = 0
    seen = 0

    def __call__(self, student: Any, batch: Any) -> torch.Tensor:
        type(self).seen += 1
        if self.seen == self.fails_at:
            os._exit(7)
        return super().__call__(student, batch)


def train(folder: Path, model: Path, strategy: str, fails_at: int) -> None:
    """Six steps of two processes with weight decay, clipping, dropout, validation."""
    StrategyRegistry.register("fsdp_on_cpu", OnCpu)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    Failing.fails_at = fails_at
    student = open_bi(model, BiSettings(pooling="attention", projection=8))
    rows = RowsSettings(str(folder.parent / "rows.jsonl"), negatives="negative")
    validation = ValidationSettings(rows=rows, metric="mrr@10")
    settings = TrainSettings(
        steps=6, batch_size=3, devices=2, strategy=strategy, accelerator="cpu", learning_rate=3e-3, weight_decay=0.1,
        clip_norm=0.5, checkpoint_every=2, validate_every=3, log_every=1,
    )  # fmt: skip
    TrainingJob(student, rows, Failing(), settings, validation).run(folder / "out")
    student.encode_queries(["red"]).sum().backward()  # its weights are its own again


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))

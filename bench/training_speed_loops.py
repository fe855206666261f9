"""One training loop in a process of its own: JOB.json in, what each step cost and its loss out as JSON.

    python bench/training_speed_loops.py JOB.json

The three loops read the same rows in the same order, with one objective, optimiser, schedule and clipping. A loop
begins to count when its first `warm` steps are done; what a run does before and after its steps is not counted.
"""

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEBI = 1024


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained, and how far. Without `dropout`, two loops must come to the same losses."""

    loop: str
    model: Path
    rows: Path
    work: Path
    batch_size: int
    steps: int
    warm: int
    max_tokens: int
    dropout: bool = True
    learning_rate: float = 2e-5
    schedule: str = "linear"

    @classmethod
    def read(cls, path: Path) -> "Job":
        """From JSON."""
        given = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**given, **{name: Path(given[name]) for name in ("model", "rows", "work")}})


@dataclass(slots=True)
class Clock:
    """CPU and wall seconds, and the loss, at the end of each step."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    losses: list[Any] = field(default_factory=list)

    def step(self) -> None:
        """A step is done."""
        self.cpu.append(time.process_time())
        self.wall.append(time.perf_counter())


def by_lightning(job: Job, clock: Clock) -> None:
    """retr's own loop, with its log; states are written at the end alone."""
    from retr.encoders.training.lightning import Run, fit

    student, rows, settings, objective = ours(job, clock)
    fit(Run(student, rows, objective, settings, job.work, None, lambda done, total: clock.step()))


def by_torch(job: Job, clock: Clock) -> None:
    """The same loop written out."""
    import torch

    from retr.encoders.training.optimising import optimiser, rate_at
    from retr.encoders.training.stream import seed_of

    student, rows, settings, objective = ours(job, clock)
    steps = optimiser(student.module, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(steps, lambda done: rate_at(done, job.steps, settings))
    student.module.train()
    for number, batch in enumerate(epochs(rows, job)):
        torch.manual_seed(seed_of(settings.seed, number, 0))
        loss = objective(student, batch)
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.module.parameters(), 1.0)
        steps.step()
        schedule.step()
        clock.step()


def ours(job: Job, clock: Clock) -> tuple[Any, Any, Any, Any]:
    """Student, rows, settings and objective of retr."""
    from retr.encoders.objectives.contrastive import InfoNCE
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.bi import open_bi
    from retr.encoders.training.rows import Rows, RowsSettings
    from retr.encoders.training.settings import TrainSettings

    student = open_bi(job.model, running=BackboneSettings(max_tokens=job.max_tokens))
    without_dropout(student.module, job)
    rows = Rows(RowsSettings(str(job.rows)), job.work / "rows")
    settings = TrainSettings(
        steps=job.steps,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        schedule=job.schedule,  # type: ignore[arg-type]
        warmup=0.0,
        accelerator="cpu",
        checkpoint_every=10 * job.steps,
        validate_every=10 * job.steps,
    )
    plain = InfoNCE(temperature=0.05)

    def objective(student: Any, batch: Any) -> Any:
        loss = plain(student, batch)
        clock.losses.append(loss.detach())
        return loss

    return student, rows, settings, objective


def epochs(rows: Any, job: Job) -> Iterator[Any]:
    """Batches, epoch after epoch, as retr's loop has them."""
    done = 0
    while done < job.steps:
        for batch in rows.batches(job.batch_size, seed=0, epoch=done // rows.steps(job.batch_size)):
            yield batch
            done += 1
            if done == job.steps:
                return


def by_sentence_transformers(job: Job, clock: Clock) -> None:
    """SentenceTransformerTrainer with MultipleNegativesRankingLoss, everything it may leave out left out."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    from retr.encoders.training.rows import Rows, RowsSettings

    rows = Rows(RowsSettings(str(job.rows)), job.work / "rows")
    batches = list(epochs(rows, job))
    columns = {
        "anchor": [text for batch in batches for text in batch.queries],
        "positive": [text for batch in batches for text in batch.positives],
    }
    model = SentenceTransformer(str(job.model), device="cpu", local_files_only=True)
    model.max_seq_length = job.max_tokens
    without_dropout(model, job)

    class Noted(MultipleNegativesRankingLoss):  # type: ignore[misc]
        def forward(self, *given: Any, **named: Any) -> Any:
            loss = super().forward(*given, **named)
            clock.losses.append(loss.detach())
            return loss

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *given: Any, **named: Any) -> None:
            clock.step()

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(job.work / "st"),
        max_steps=job.steps,
        per_device_train_batch_size=job.batch_size,
        batch_sampler=in_order,
        learning_rate=job.learning_rate,
        lr_scheduler_type=job.schedule,
        warmup_steps=0,
        weight_decay=0.01,
        max_grad_norm=1.0,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )
    SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        loss=Noted(model, scale=20.0),
        callbacks=[Watch()],
    ).train()


def in_order(dataset: Any, batch_size: int, drop_last: bool, **given: Any) -> Any:
    """Batches as the rows stand."""
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from torch.utils.data import SequentialSampler

    return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last, **given)


def without_dropout(module: Any, job: Job) -> None:
    """Where the losses are to be compared."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Dropout) and not job.dropout:
            part.p = 0.0


LOOPS: dict[str, Callable[[Job, Clock], None]] = {
    "lightning": by_lightning,
    "torch": by_torch,
    "sentence-transformers": by_sentence_transformers,
}


def main() -> None:
    """Run the job, and write its costs."""
    import torch

    job = Job.read(Path(sys.argv[1]))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(0)
    random.seed(0)
    clock = Clock()
    LOOPS[job.loop](job, clock)
    first, last = job.warm - 1, job.steps - 2  # The last step may write, so it is not counted.
    found = {
        "steps": last - first,
        "cpu": clock.cpu[last] - clock.cpu[first],
        "wall": clock.wall[last] - clock.wall[first],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBI,
        "losses": [float(loss) for loss in clock.losses],
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

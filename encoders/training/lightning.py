"""The loop on Lightning, known to this file alone: steps, devices, processes are its; data, states, measures ours."""

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import FSDPStrategy, StrategyRegistry
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException  # type: ignore[attr-defined]

from retr.encoders.objectives import Objective
from retr.encoders.trainable.student import Student
from retr.encoders.training.logs import Log
from retr.encoders.training.optimising import optimiser, rate_at
from retr.encoders.training.rows import Rows
from retr.encoders.training.settings import TrainSettings
from retr.encoders.training.sharding import Pieces, layers_of
from retr.encoders.training.states import State, forget_best_but, save_best, save_state
from retr.encoders.training.stream import Sealed, batches_from, seed_of
from retr.encoders.training.validating import Validation, measure
from retr.retrieval.errors import BadInput

PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}

Watch = Callable[[int, int], object]
"""Told how many steps are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what learns from what, and where its states and logs are."""

    student: Student
    rows: Rows
    objective: Objective
    settings: TrainSettings
    folder: Path
    validation: Validation | None = None
    watch: Watch = lambda done, total: None

    @property
    def steps(self) -> int:
        """How many steps there are in all, by the settings' steps or epochs."""
        of = self.settings.devices
        each = self.rows.steps(self.settings.batch_size, of)
        return self.settings.steps or max(self.settings.epochs * each // self.settings.accumulate, 1)


@dataclass(slots=True)
class _Course:
    """Where the run is, and its best so far."""

    step: int
    best: float | None = None
    best_step: int = 0
    worse: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    rows: int = 0
    since: float = field(default_factory=time.monotonic)


def fit(run: Run, state: State | None = None) -> State:
    """Train to the end, from a state or from the beginning; the last state, which is on disk too."""
    learner = _Learner(run, state)
    if learner.course.step < run.steps and not learner.is_over():
        trainer = _trainer(run, learner)
        run.student.module.train()
        with warnings.catch_warnings():
            # Lightning's hints of workers and lengths are for its loaders, and it uses torch calls that are to go.
            warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")
            warnings.filterwarnings("ignore", module=r"torch\.utils\._pytree")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            _fit(trainer, learner, _Stream(run, learner))
    state = learner.state()
    learner.pieces.put_back()
    return state


def _fit(trainer: pl.Trainer, learner: "_Learner", stream: "_Stream") -> None:
    """Lightning's fit, out of which an interrupt comes as one, and a `kill` as an end that is no success."""
    before = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, train_dataloaders=stream)
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


class _Learner(pl.LightningModule):
    """A student and its objective as Lightning wants them; hooks measure, write and stop."""

    def __init__(self, run: Run, state: State | None) -> None:
        super().__init__()
        self.module = run.student.module  # Lightning finds the parameters by this attribute.
        self._run, self._from = run, state
        self.pieces = Pieces(self.module)
        self.course = _Course(0)
        self.started = 0
        self._optimiser: torch.optim.AdamW | None = None
        self._scaler: dict[str, float] = dict(state.scaler) if state else {}
        if state is not None:
            self.module.load_state_dict(dict(state.weights))
            self.course = _Course(state.step, state.best, state.best_step, state.worse)
            self.started = state.step
        self._seen = self.started * run.settings.accumulate

    def configure_optimizers(self) -> Any:
        """AdamW in the state it was in, and the schedule from the step it was at."""
        self._optimiser = optimiser(self.module, self._run.settings, self.pieces.shapes)
        if self._from is not None and self._from.optimiser["param_groups"]:
            self._optimiser.load_state_dict(self.pieces.own_state(self._optimiser, self._from.optimiser))
            for group in self._optimiser.param_groups:
                group["lr"] = self._run.settings.learning_rate
                group.pop("initial_lr", None)
        steps, started = self._run.steps, self.started
        schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda done: rate_at(started + done, steps, self._run.settings)
        )
        return {"optimizer": self._optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Half precision's scale goes on from where it was."""
        if self._scaler:
            self.trainer.precision_plugin.load_state_dict(dict(self._scaler))

    def transfer_batch_to_device(self, batch: Sealed, device: torch.device, dataloader_idx: int) -> Sealed:
        """Texts stay where they are; the student puts its tokens on its device."""
        return batch

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Lightning's clipping; of gradients that are spread over processes, by the norm of them all."""
        if not self.pieces.spread:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            self.pieces.clip(gradient_clip_val)

    def validation_step(self, validation: Validation) -> dict[str, float]:
        """The measure, within the strategy's own forward pass: elsewhere FSDP has no whole weights."""
        return {"value": measure(validation, self._run.student)}

    def training_step(self, sealed: Sealed, batch_idx: int) -> torch.Tensor:
        """The loss of one batch, its random numbers drawn from the run's seed, the batch's number and the process."""
        torch.manual_seed(seed_of(self._run.settings.seed, self._seen, self.global_rank))
        self._seen += 1
        loss = self._run.objective(self._run.student, sealed.batch)
        self.course.losses.append(loss.detach())
        self.course.rows += len(sealed.batch)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After a step of the optimiser: look at the loss, measure, write, stop."""
        course, settings = self.course, self._run.settings
        if self._seen % settings.accumulate:
            return
        course.step += 1
        last = course.step == self._run.steps
        measured = self._measure() if course.step % settings.validate_every == 0 or last else None
        if course.step % settings.log_every == 0 or last or measured is not None:
            self._log(measured)
        over = self.is_over()
        if course.step % settings.checkpoint_every == 0 or last or measured is not None or over:
            self._save()
        self.trainer.should_stop = over
        if self.global_rank == 0:
            self._run.watch(course.step, self._run.steps)

    def is_over(self) -> bool:
        """Whether the last validations were no better than the best, as often as patience allows."""
        patience = self._run.settings.patience
        return patience is not None and self.course.worse >= patience

    def _measure(self) -> float | None:
        if self._run.validation is None:
            return None
        strategy: Any = self.trainer.strategy
        value: float = strategy.broadcast(strategy.validation_step(self._run.validation)["value"])
        course = self.course
        if course.best is None or value > course.best:
            course.best, course.best_step, course.worse = value, course.step, 0
            weights = self.pieces.weights()
            if self.global_rank == 0:
                save_best(self._run.folder, weights, course.step)
        else:
            course.worse += 1
        return value

    def _log(self, measured: float | None) -> None:
        course, settings = self.course, self._run.settings
        loss = float(torch.stack(course.losses).double().mean()) if course.losses else float("nan")
        if not isfinite(loss):
            raise BadInput(
                f"The loss became {loss} by step {course.step}. Lower learning_rate, which is "
                f"{settings.learning_rate}, or look at the data."
            )
        each = self._run.rows.steps(settings.batch_size, self.trainer.world_size)
        seconds = max(time.monotonic() - course.since, 1e-9)
        row = {"step": course.step, "epoch": (self._seen - 1) // each, "loss": loss}
        row |= {"learning_rate": settings.learning_rate * rate_at(course.step - 1, self._run.steps, settings)}
        row |= {"rows_per_second": course.rows * self.trainer.world_size / seconds}
        row |= {} if measured is None else {"validation": measured}
        if self.global_rank == 0:
            Log(self._run.folder / "log.csv").add(row)
        for logger in self.trainer.loggers:
            logger.log_metrics({name: value for name, value in row.items() if name != "step"}, step=course.step)
        course.losses.clear()
        course.rows, course.since = 0, time.monotonic()

    def _save(self) -> None:
        state = self.state()
        if self.global_rank == 0:
            save_state(self._run.folder / "states", state)
            forget_best_but(self._run.folder, self.course.best_step)

    def state(self) -> State:
        """All that the next step depends on."""
        course = self.course
        if self._optimiser is None:
            assert self._from is not None
            return replace(self._from, weights=self.pieces.weights())
        scaler = dict(self.trainer.precision_plugin.state_dict())
        return State(
            course.step, self.pieces.weights(), self.pieces.optimiser_state(self._optimiser), scaler,
            best=course.best, best_step=course.best_step, worse=course.worse,
        )  # fmt: skip


class _Stream:
    """The batches from where the run is to its end, epoch after epoch; this process's share of each."""

    def __init__(self, run: Run, learner: _Learner) -> None:
        self._run, self._learner = run, learner

    def __iter__(self) -> Iterator[Sealed]:
        run, each = self._run, self._run.settings.accumulate
        share = (self._learner.global_rank, self._learner.trainer.world_size)
        return batches_from(self._learner.started * each, run.steps * each, run.rows, run.settings, share)


def _trainer(run: Run, learner: _Learner) -> pl.Trainer:
    """Lightning's trainer with everything off that we do ourselves."""
    settings = run.settings
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    try:
        return pl.Trainer(
            max_epochs=1,
            max_steps=run.steps - learner.started,
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy=_strategy(settings.strategy, learner.module),
            precision=PRECISIONS[settings.precision],
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=settings.clip_norm,
            logger=_tensorboard(run.folder),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"This machine cannot train so: {line} Check accelerator, devices, strategy, precision."
        ) from None


def _strategy(name: str, module: torch.nn.Module) -> Any:
    """Lightning's of that name; one that spreads weights does so layer by layer, and not as one piece."""
    if name not in StrategyRegistry:
        return name
    told = StrategyRegistry[name]
    made = told["strategy"]
    if not (isinstance(made, type) and issubclass(made, FSDPStrategy)):
        return name
    return made(**{"auto_wrap_policy": layers_of(module) or None, **told["init_params"]})


def _tensorboard(folder: Path) -> Any:
    """Lightning's TensorBoard logger, where a package that writes its files is installed."""
    try:
        return TensorBoardLogger(folder, name="tensorboard", version="")
    except ModuleNotFoundError:
        return False

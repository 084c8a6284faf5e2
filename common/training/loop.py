"""The training loop: one object that knows its data, its run and its settings, and does step after step."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm import tqdm

from common.training.averaging import copy_weights
from common.training.device import seed_global_generator
from common.training.interrupts import Interrupts
from common.training.resume import ResumeFile, Run
from common.training.schedule import batch_at, learning_rate_at, seed_at

SECONDS_BETWEEN_SAVES = 30.0
LOSSES_PER_FETCH = {"cpu": 1}  # elsewhere reading a loss waits for the device, so several are read at once
DEFAULT_LOSSES_PER_FETCH = 20
LOSSES_SHOWN = 20  # the progress bar shows the mean of so many


class TrainingError(RuntimeError):
    """Training can't go on; the message says at which step, and what to try."""


@dataclass(frozen=True)
class Settings:
    """The arguments of `fit` that decide the result, besides model, loss and data."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    weight_decay: float
    warmup: int
    schedule: str
    clip: float | None
    ema: float | None
    validate_every: int


@dataclass
class Loop:
    """Trains run.model on data until the last step or an interrupt."""

    run: Run
    data: list[Tensor]
    loss_fn: Callable[..., Tensor]
    validate: Callable[[nn.Module], float | Tensor] | None
    settings: Settings
    autocast: torch.autocast
    file: ResumeFile | None
    bar: tqdm
    waiting: list[Tensor] = field(default_factory=list)  # losses that are still on the device
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def device(self) -> torch.device:
        return self.data[0].device

    def train(self, interrupts: Interrupts) -> None:
        """All remaining steps. Returns early on an interrupt; TrainingError when a loss is not finite."""
        self.run.model.train()
        try:
            while self.run.step < self.settings.steps and not interrupts.asked:
                self._timed_step()
                self._save_if(interrupts.asked or time.monotonic() - self.saved_at > SECONDS_BETWEEN_SAVES)
        except KeyboardInterrupt:
            pass  # raised in the midst of a step: the file keeps the last whole state
        except TrainingError:
            self._forget()  # to go on from broken weights would fail again
            raise
        self.run.history.interrupted = self.run.step < self.settings.steps
        if not self.run.history.interrupted:
            self._forget()

    def _timed_step(self) -> None:
        started = time.monotonic()
        self._step()
        run, settings = self.run, self.settings
        due = run.step % settings.validate_every == 0 or run.step == settings.steps
        if due or len(self.waiting) >= LOSSES_PER_FETCH.get(self.device.type, DEFAULT_LOSSES_PER_FETCH):
            self._fetch()
        if due and self.validate is not None:
            self._validate()
        run.history.seconds += time.monotonic() - started

    def _step(self) -> None:
        run, settings = self.run, self.settings
        seed_global_generator(self.device, seed_at(run.step, settings.seed))
        rate = learning_rate_at(run.step, settings.steps, settings.learning_rate, settings.warmup, settings.schedule)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        rows = batch_at(run.step, len(self.data[0]), settings.batch_size, settings.seed).to(self.device)
        with self.autocast:
            loss = _checked_loss(self.loss_fn(run.model, *(tensor[rows] for tensor in self.data)))
        run.optimizer.zero_grad()
        loss.backward()
        if settings.clip is not None:
            nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip)
        run.optimizer.step()
        if run.average is not None:
            run.average.update(run.model)
        self.waiting.append(loss.detach())
        run.step += 1

    def _fetch(self) -> None:
        """Move waiting losses into the history, and show them."""
        losses = torch.stack(self.waiting).double().tolist() if self.waiting else []
        self.waiting.clear()
        history = self.run.history
        for loss in losses:
            if not math.isfinite(loss):
                raise TrainingError(
                    f"The loss is {loss} at step {len(history.losses)}. Try a smaller learning rate, a warmup or a "
                    "smaller clip; if it is so from the start, look for log(0), 0/0 or an overflow in the loss.")
            history.losses.append(loss)
        self._show(len(losses))

    @torch.no_grad()
    def _validate(self) -> None:
        run = self.run
        run.model.eval()
        # The same noise each time, so that values can be compared.
        seed_global_generator(self.device, seed_at(-1, self.settings.seed))
        with run.average.applied(run.model) if run.average is not None else nullcontext():
            value = float(self.validate(run.model))
            if math.isnan(value):
                raise TrainingError(f"validate returned NaN after step {run.step}.")
            if run.history.best is None or value < run.history.best:
                run.best = {key: tensor.detach().clone() for key, tensor in run.model.state_dict().items()}
        run.history.validation.append(value)
        run.history.validation_steps.append(run.step)
        run.model.train()
        self._show(0)

    def _save_if(self, due: bool) -> None:
        if due and self.file is not None:
            self._fetch()
            self.file.save(self.run)
            self.saved_at = time.monotonic()

    def _forget(self) -> None:
        if self.file is not None:
            self.file.remove()

    def _show(self, new_steps: int) -> None:
        history = self.run.history
        recent = history.losses[-LOSSES_SHOWN:]
        text = f"loss {sum(recent) / max(1, len(recent)):.4g}"
        if history.validation:
            text += f", validation {history.validation[-1]:.4g}"
        if history.floor is not None:
            text += f", floor {history.floor:.4g}"
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(new_steps)


def leave_best_weights(run: Run) -> None:
    """Put the run's best weights into the model, in eval mode: best validated, else averaged, else the last."""
    if run.best is not None:
        run.model.load_state_dict(run.best)
    elif run.average is not None:
        copy_weights(run.model, run.average.weights)
    run.model.eval()


def _checked_loss(loss: Tensor) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = list(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise TrainingError(f"loss_fn must return a tensor with one number, such as `-model.log_prob(x).mean()`; "
                            f"it returned {found}.")
    if not loss.requires_grad:
        raise TrainingError("The loss does not depend on the model's parameters (it needs no gradient). Was it "
                            "computed under no_grad, detached or turned into a number?")
    return loss.reshape(())

"""`fit`: what the notebooks call."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from common.artifacts import checkpoint_path
from common.training.averaging import Average
from common.training.device import channels_last, default_device, wants_bfloat16
from common.training.history import History
from common.training.interrupts import Interrupts
from common.training.loop import Loop, Settings, leave_best_weights
from common.training.resume import ResumeFile, Run, identity_of
from common.training.schedule import SCHEDULES

BAR = "{desc}: {percentage:3.0f}% |{bar:20}| {n}/{total} steps{postfix}, {remaining} left"


def fit(
    model: nn.Module,
    loss_fn: Callable[..., Tensor],
    data: Tensor | Sequence[Tensor],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
    weight_decay: float = 0.0,
    warmup: int = 0,
    schedule: str = "cosine",
    clip: float | None = 1.0,
    ema: float | None = None,
    precision: str = "auto",
    validate: Callable[[nn.Module], float | Tensor] | None = None,
    validate_every: int | None = None,
    name: str | None = None,
    resume: bool = True,
    floor: float | None = None,
    device: torch.device | str | None = None,
    folder: str | Path = "artifacts",
    progress: bool = True,
) -> History:
    """Train the model in place with AdamW, and leave it in eval mode with its best weights.

    loss_fn(model, *batch) -> scalar, lower is better; batch holds batch_size rows of each tensor of `data` (N, ...).
    validate(model) -> number, lower is better, called in eval mode, without gradients and in full precision, every
    validate_every steps (default: ten times) and at the end. The weights left in the model are those with the best
    validation value; without `validate` the average (`ema`), and without both the last ones.

    learning_rate rises over `warmup` steps and then follows `schedule` ("cosine" or "constant"). weight_decay applies
    to tensors of two or more dimensions. clip: the largest norm of the whole gradient (None: no clipping). ema: decay
    of the weights' moving average, such as 0.999. precision: "auto" (bfloat16 autocast where the hardware gains from
    it), "float32" or "bfloat16". device: default the GPU if there is one; model and data are moved there.
    floor: the smallest loss that any model could have, shown beside it.

    The same seed, data and initial weights give the same losses on the same machine. Random numbers that loss_fn or
    the model draw from torch's global generator are seeded step by step; the caller's generator is left as it was.

    name: with it, the run's state is kept in folder/<name>.resume. Interrupting (Ctrl-C, the notebook's stop button)
    ends after the current step and returns normally. The next call with the same settings and data goes on where it
    stopped, and ends as an uninterrupted run would; so does a call after the process was killed, from a state at most
    30 seconds old. resume=False starts anew. The file is deleted when the run is complete.

    Raises TrainingError for a loss that is NaN, infinite or no scalar, ValueError for wrong arguments.
    """
    tensors = _checked_data(data)
    settings = Settings(steps, batch_size, learning_rate, seed, weight_decay, warmup, schedule, clip, ema,
                        validate_every or max(1, steps // 10))
    _check(settings)
    device = torch.device(device) if device is not None else default_device()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=wants_bfloat16(precision, device, model))
    # Interrupts wait from here on: the first optimiser makes torch import much, and half an import breaks the session.
    with Interrupts() as interrupts, channels_last(model.to(device)), _own_random_numbers(device):
        file = _resume_file(name, folder, model, tensors, settings)
        tensors = [tensor.to(device) for tensor in tensors]
        run = Run(model, _optimizer(model, weight_decay), None if ema is None else Average(model, ema))
        if file is not None and resume:
            file.restore(run)
        run.history.floor, run.history.resumed_at = floor, run.step
        # The text bar on stdout works in terminals and notebooks; tqdm's widget needs an extension and does not
        # survive the export to HTML, and stderr has a red background in notebooks.
        with tqdm(total=steps, initial=run.step, desc=name or "training", bar_format=BAR, mininterval=0.5,
                  file=sys.stdout, disable=not progress) as bar:
            try:
                Loop(run, tensors, loss_fn, validate, settings, autocast, file, bar).train(interrupts)
            finally:
                leave_best_weights(run)
    return run.history


def _checked_data(data: Tensor | Sequence[Tensor]) -> list[Tensor]:
    tensors = [data] if isinstance(data, Tensor) else list(data)
    if not tensors or not all(isinstance(t, Tensor) and t.ndim > 0 for t in tensors):
        raise ValueError("data must be a tensor (N, ...) or several of them")
    if len({len(t) for t in tensors}) > 1 or len(tensors[0]) == 0:
        raise ValueError(f"the tensors of data have {[len(t) for t in tensors]} rows; equal numbers above 0 are needed")
    return tensors


def _check(settings: Settings) -> None:
    for name in ("steps", "batch_size", "learning_rate", "validate_every"):
        if getattr(settings, name) <= 0:
            raise ValueError(f"{name} is {getattr(settings, name)}; it must be above 0")
    if settings.clip is not None and settings.clip <= 0:
        raise ValueError(f"clip is {settings.clip}; it must be above 0, or None for no clipping")
    if settings.schedule not in SCHEDULES:
        raise ValueError(f"schedule is {settings.schedule!r}; choose one of {', '.join(SCHEDULES)}")
    if settings.warmup < 0 or settings.weight_decay < 0:
        raise ValueError("warmup and weight_decay can't be negative")


def _resume_file(name: str | None, folder: str | Path, model: nn.Module, data: list[Tensor],
                 settings: Settings) -> ResumeFile | None:
    if name is None:
        return None
    path = checkpoint_path(name, folder).with_suffix(".resume")
    return ResumeFile(path, identity_of(model, data, asdict(settings)))


def _optimizer(model: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) that decays matrices and kernels, not biases and gains."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameters to train")
    groups = [{"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
              {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]])


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    """Inside the block seeds may be set: the caller's random numbers go on afterwards as if nothing had happened.

    On a GPU, cuDNN is also held to algorithms that give the same result each time.
    """
    deterministic = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.backends.cudnn.deterministic = deterministic

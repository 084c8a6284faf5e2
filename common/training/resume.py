"""The file from which an interrupted or killed run goes on, and the state it holds."""

import io
import json
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.artifacts import write_atomically
from common.training.averaging import Average
from common.training.history import History


@dataclass
class Run:
    """Everything that a training run changes. best: the state dict with the smallest validation value so far."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None
    history: History = field(default_factory=History)
    step: int = 0
    best: dict[str, Tensor] | None = None

    def state(self) -> dict[str, Any]:
        """Tensors, numbers, strings, lists and dicts only: what torch.load(weights_only=True) accepts."""
        average = self.average and {"updates": self.average.updates, "weights": self.average.weights}
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "average": average,
                "history": asdict(self.history), "step": self.step, "best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.restore(state["average"]["updates"], state["average"]["weights"])
        self.history, self.step, self.best = History(**state["history"]), state["step"], state["best"]


@dataclass(frozen=True)
class ResumeFile:
    """folder/<name>.resume, written whole or not at all, and read without unpickling code.

    identity: the settings and data of the run that it belongs to; a file of another run is never used.
    """

    path: Path
    identity: str

    def save(self, run: Run) -> None:
        """Replace the file by the run's present state."""
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, **run.state()}, buffer)
        write_atomically(self.path, buffer.getvalue())

    def restore(self, run: Run) -> bool:
        """Bring the run to the file's state; False, with a warning that says why, when there is none that fits."""
        if not self.path.exists():
            return False
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            identity = state.pop("identity")
        except Exception as error:  # any damage to the file ends in the same decision
            self._warn(f"can't be read ({type(error).__name__}), so training starts anew")
            return False
        if identity != self.identity:
            self._warn(f"belongs to another run ({_difference(identity, self.identity)}), so training starts anew")
            return False
        run.restore(state)
        self._warn(f"holds {run.step} steps of this run, and training goes on from there. If you have changed the "
                   "model or the loss since, delete the file or pass resume=False")
        return True

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.path} {text}.", stacklevel=4)


def identity_of(model: nn.Module, data: Sequence[Tensor], settings: dict[str, Any]) -> str:
    """A run's settings, its parameters' shapes and a checksum of its data, as JSON: equal for equal runs only."""
    shapes = {name: list(p.shape) for name, p in model.named_parameters()}
    checksums = [[list(t.shape), str(t.dtype), _checksum(t)] for t in data]
    return json.dumps({**settings, "parameters": shapes, "data": checksums}, sort_keys=True)


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def _difference(theirs: str, ours: str) -> str:
    old, new = json.loads(theirs), json.loads(ours)
    changed = sorted(key for key in new if old.get(key) != new[key])
    return ", ".join(f"{key} differs" if key in ("parameters", "data") else f"{key} was {old.get(key)}, is {new[key]}"
                     for key in changed) or "settings differ"

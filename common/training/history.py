"""The record of a training run."""

from dataclasses import dataclass, field


@dataclass(repr=False)
class History:
    """Losses of a run, in the unit of the loss function (lower is better).

    losses[i] is the training batch's loss at step steps[i] (0, 1, 2, ...); validation[j] is what `validate` returned
    after validation_steps[j] steps. floor: the best value that any model could reach, when known. seconds: time spent
    training, over all sessions. resumed_at: the step from which this session went on, 0 for a run from the start.
    interrupted: stopped before the last step.
    """

    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    validation_steps: list[int] = field(default_factory=list)
    floor: float | None = None
    seconds: float = 0.0
    resumed_at: int = 0
    interrupted: bool = False

    @property
    def steps(self) -> list[int]:
        """0, 1, 2, ...: the step of each entry of `losses`."""
        return list(range(len(self.losses)))

    def __repr__(self) -> str:
        loss = f", last loss {self.losses[-1]:.4g}" if self.losses else ""
        best = f", best validation {self.best:.4g}" if self.validation else ""
        stopped = ", interrupted" if self.interrupted else ""
        return f"<History of {len(self.losses)} steps in {self.seconds:.0f} s{loss}{best}{stopped}>"

    @property
    def best(self) -> float | None:
        """The smallest validation value, or None without validation."""
        return min(self.validation, default=None)

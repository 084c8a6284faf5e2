"""What a trained model costs on hidden data, and whether that cost is a likelihood at all.

The sum of -log softmax(logits)[x] is a likelihood only if the logits of an entry never see that entry or a later one.
So copies of some examples are altered from a random place on and mixed into the same batches as the examples
themselves. A model can't tell which rows are measured and which are compared, and every copy must agree with its
original up to that place. All that comes back from the model is a claim; the cost is computed here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from autograder.checking.compare import require_tensor

TOLERANCE = 1e-3
"""Relative and absolute difference of float32 logits that the order of summation may make."""


class Once:
    """Keeps the result of a measurement for all checks of a question; a failure is kept and raised again."""

    def __init__(self) -> None:
        self._found: tuple[Any, Exception | None] | None = None

    def __call__(self, measure: Callable[[], Any]) -> Any:
        """What `measure()` returned, or raised, the first time."""
        if self._found is None:
            try:
                self._found = measure(), None
            except Exception as error:
                self._found = None, error
        value, error = self._found
        if error is not None:
            raise error
        return value


def steps(full: float, poor: float, count: int) -> list[float]:
    """Thresholds for `count` checks of equal weight that together pay linearly, rounded to the nearest step.

    Who is at `full` or better passes all, who is at `poor` or worse passes none.
    """
    return [full + (poor - full) * (i + 0.5) / count for i in range(count)]


def altered(x: Tensor, num_levels: int, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Copies of rows of x (N, D) int64 that differ from a random place on: (copies (count, D), their rows, places).

    In turn: one entry is changed; the rest is that of another row; the rest is random.
    """
    size = x.shape[1]
    rows = torch.randint(len(x), (count,), generator=rng)
    places = torch.randint(size, (count,), generator=rng)
    kind = (torch.arange(count) % 3)[:, None]
    place = torch.arange(size) - places[:, None]
    one = (x[rows] + torch.randint(1, num_levels, (count, 1), generator=rng)) % num_levels
    other = x[(rows + torch.randint(1, len(x), (count,), generator=rng)) % len(x)]
    noise = torch.randint(num_levels, (count, size), generator=rng)
    new = torch.where(kind == 0, one, torch.where(kind == 1, other, noise))
    touched = torch.where(kind == 0, place == 0, place >= 0)
    return torch.where(touched, new, x[rows]), rows, places


def entry_costs(
    call: Callable[[Tensor, Tensor], Tensor], x: Tensor, num_levels: int, logits_shape: Sequence[int],
    rng: torch.Generator, *, copies: int = 24, batch_size: int = 30,
) -> Tensor:  # fmt: skip
    """-log p of every entry of x (N, D) int64 in nats, (N, D) float64, after a probe of causality.

    call(rows (B, D), index (B,)) returns logits (B, *logits_shape) = (B, D, K), K >= num_levels, for rows that are those of
    x at `index` or altered copies of them. Fails with a sentence for the student when logits are not of that shape, not
    finite, or see what they predict.
    """
    changed, sources, places = altered(x, num_levels, copies, rng)
    rows, index = torch.cat([x, changed]), torch.cat([torch.arange(len(x)), sources])
    order = torch.randperm(len(rows), generator=rng)
    logits = torch.empty(len(rows), *logits_shape)
    for batch in order.split(batch_size):
        found = call(rows[batch], index[batch])
        logits[batch] = require_tensor(found, (len(batch), *logits_shape), "float", "the logits").float()
    _require_causal(logits[: len(x)][sources], logits[len(x) :], places)
    cost = -logits[: len(x)].double().log_softmax(-1)
    return cost.gather(-1, x.unsqueeze(-1)).squeeze(-1)


def _require_causal(before: Tensor, after: Tensor, places: Tensor) -> None:
    """Fail when logits (B, D, K) of an entry up to its row's place differ between originals and altered copies."""
    difference = (after - before).abs() > TOLERANCE * (1 + before.abs())
    allowed = torch.arange(before.shape[1]) > places[:, None]
    assert not (difference.any(-1) & ~allowed).any(), (
        "logits are moved by the entry that they predict, or by a later one: what the model gives is no likelihood. "
        "Was it trained and saved with the masks of the class that you hand in?"
    )

"""How long experiments run: the environment variable PRESET names the scale of a whole notebook."""

import os
from typing import TypeVar

PRESETS = {
    "smoke": "seconds, only to see that everything runs",
    "small": "minutes on two CPU cores (the default, and what is graded)",
    "full": "one GPU, at most two hours a homework",
}
T = TypeVar("T")


def preset() -> str:
    """The scale that the environment variable PRESET asks for: "smoke", "small" (when unset) or "full".

    Raises ValueError for any other value, so that a misspelling does not quietly train the wrong model.
    """
    value = os.environ.get("PRESET") or "small"
    if value not in PRESETS:
        choices = "; ".join(f"{name}: {meaning}" for name, meaning in PRESETS.items())
        raise ValueError(f"The environment variable PRESET is {value!r}. Choose one of these: {choices}.")
    return value


def by_preset(*, smoke: T, small: T, full: T) -> T:
    """The value for the current preset, e.g. `steps = by_preset(smoke=5, small=2000, full=20000)`."""
    return {"smoke": smoke, "small": small, "full": full}[preset()]

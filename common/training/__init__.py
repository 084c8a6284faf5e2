"""Training that is seeded, shows progress, can be interrupted and resumed, and uses the hardware it finds."""

from common.training.device import default_device, gains_from_bfloat16
from common.training.fitting import fit
from common.training.history import History
from common.training.loop import TrainingError
from common.training.presets import by_preset, preset
from common.training.schedule import batch_at, learning_rate_at

__all__ = ["History", "TrainingError", "batch_at", "by_preset", "default_device", "fit", "gains_from_bfloat16",
           "learning_rate_at", "preset"]

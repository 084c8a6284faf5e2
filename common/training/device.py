"""Where training runs and in which precision: decided by what the hardware can do, not by a stopwatch.

A stopwatch would sometimes decide otherwise on the same machine, and then the same seed would give other losses.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

PRECISIONS = ("auto", "float32", "bfloat16")
# Instructions that multiply bfloat16 natively. Without them oneDNN emulates: a PixelCNN's step took 2,240 ms in place
# of 193 ms (2 cores of AMD Zen 3, 48 channels, batch 32). With AMX it is about 3 times faster than float32.
NATIVE_BFLOAT16 = ("amx_bf16", "avx512_bf16")


def default_device() -> torch.device:
    """The first GPU that torch.cuda finds, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gains_from_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware: GPUs from Ampere on, CPUs with AMX or AVX512-BF16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in NATIVE_BFLOAT16)
    return False


def wants_bfloat16(precision: str, device: torch.device, model: nn.Module) -> bool:
    """Whether to compute under bfloat16 autocast.

    "auto" says yes where the device gains and all floating-point parameters are float32: a float64 model is meant to
    be exact. Raises ValueError for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        single = all(p.dtype == torch.float32 for p in model.parameters() if p.is_floating_point())
        return single and gains_from_bfloat16(device)
    return precision == "bfloat16"


def seed_global_generator(device: torch.device, seed: int) -> None:
    """Seed torch's global generators of the CPU and of a GPU in use. For use inside fork_rng only.

    torch.manual_seed does more, for each kind of device that exists, and took 0.6 ms: longer than a small step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def channels_last(model: nn.Module) -> Iterator[None]:
    """Keep 4-D weights in channels-last memory inside the block: convolutions run 1.4 times faster on CPUs.

    Values and shapes stay the same. A convolution follows its weight's format, so inputs need no change.
    """
    model.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        model.to(memory_format=torch.contiguous_format)

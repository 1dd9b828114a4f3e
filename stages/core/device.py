"""Choose where networks run and in which precision.

In: settings that may be `auto`. Out: a device, a precision, a number of crops per forward pass.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

BATCH_ON_CPU = 16  # on each core: activations stay in its cache
BATCH_ON_GPU = 256
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """Where and how a network runs, with nothing `auto` left.

    Attributes
    ----------
    device
        The CPU or the GPU.
    precision
        fp32, bf16 or fp16.
    batch_size
        Crops per forward pass.
    """

    device: torch.device
    precision: str
    batch_size: int

    @property
    def dtype(self) -> torch.dtype:
        """torch's type of the weights and activations."""
        return DTYPES[self.precision]


def choose_compute(precision: str, batch_size: int | str) -> Compute:
    """Resolve `auto` in the settings `precision` and `batch_size` for this machine."""
    device = choose_device()
    return Compute(device, choose_precision(precision, device), choose_batch_size(batch_size, device))


def choose_device() -> torch.device:
    """Take the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of torch in the block, for steps that are too small to share.

    Sums are then the same bits on every machine with such a processor, however many cores it has. And threads that
    share a small step wait for each other: on busy cores two of them are ten times slower than one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_precision(precision: str, device: torch.device) -> str:
    """Resolve `auto`: bf16 where the processor multiplies it in hardware, else fp32 (fp16 on an old GPU).

    Returns
    -------
    str
        fp32, bf16 or fp16: part of the fingerprint.
    """
    if precision != "auto":
        return precision
    if has_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch do not report what the processor has.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def choose_batch_size(batch_size: int | str, device: torch.device) -> int:
    """Resolve `auto` to a number of crops per forward pass.

    Examples
    --------
    >>> choose_batch_size("auto", torch.device("cpu")), choose_batch_size(8, torch.device("cpu"))
    (16, 8)
    """
    if batch_size != "auto":
        return int(batch_size)
    return BATCH_ON_GPU if device.type == "cuda" else BATCH_ON_CPU

"""Choose where and in which precision the backbone runs.

In: the `precision` and `batch_size` settings. Out: a device, a dtype and a number of crops per forward pass.
"""

import torch

BATCH_ON_CPU = 32
BATCH_ON_GPU = 256
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device() -> torch.device:
    """Take the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(precision: str, device: torch.device) -> str:
    """Resolve `auto`: bf16 where the processor multiplies it in hardware, else fp32.

    Returns
    -------
    str
        fp32, bf16 or fp16: part of the fingerprint.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # Older versions of torch cannot tell what the processor has.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def choose_batch_size(batch_size: int | str, device: torch.device) -> int:
    """Resolve `auto` to a number of crops per forward pass."""
    if batch_size != "auto":
        return int(batch_size)
    return BATCH_ON_GPU if device.type == "cuda" else BATCH_ON_CPU

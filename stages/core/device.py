"""Choose where networks run and in which precision.

In: settings that may say `auto`. Out: a device, a precision, a number of crops per forward pass.
"""

import torch

BATCH_ON_CPU = 16  # on each core: activations stay near it
BATCH_ON_GPU = 256
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device() -> torch.device:
    """Take the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of torch cannot tell what the processor has.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def choose_batch_size(batch_size: int | str, device: torch.device) -> int:
    """Resolve `auto` to a number of crops per forward pass."""
    if batch_size != "auto":
        return int(batch_size)
    return BATCH_ON_GPU if device.type == "cuda" else BATCH_ON_CPU

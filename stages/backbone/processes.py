"""The processes that train together, as `torchrun` starts them: which one this is, and sums over all of them.

In: torchrun's environment variables. Out: a `Processes`; without them, this process alone. What is summed is left to
the caller.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from stages.core.device import choose_device


@dataclass(frozen=True)
class Processes:
    """This process (`rank`, from 0), how many there are (`count`; `here`: on this machine), and its device."""

    rank: int
    count: int
    here: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' tensors, on the CPU."""
        if self.count > 1:
            tensor = tensor.to(self.device)
            dist.all_reduce(tensor)
        return tensor.cpu()

    def copy_from_first(self, module: nn.Module) -> None:
        """Give every process the first one's weights and buffers."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.count > 1:
            dist.barrier()


def is_first_process() -> bool:
    """Whether this process prepares what the others then copy; true without torchrun."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the group that torchrun describes, over NCCL on GPUs and gloo on CPUs, and leave it at the end."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device()
    if count == 1:
        yield Processes(0, 1, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, int(os.environ.get("LOCAL_WORLD_SIZE", "1")), device)
    finally:
        dist.destroy_process_group()

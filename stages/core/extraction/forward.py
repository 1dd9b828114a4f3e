"""The forward pass: crops of any number through the backbone in passes of one shape, on a CPU or a GPU.

In: uint8 crops. Out: their features, float16. Where crops come from is left to `stream.py`.
"""

import itertools
import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F

log = logging.getLogger(__name__)
OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)


class ForwardPass:
    """Runs the backbone on exactly `crops_per_pass` crops at a time, the last pass padded.

    With one shape a feature does not depend on which images share its pass. If the device's memory does not suffice,
    the number is halved, with a message in the log, and the work continues.

    Parameters
    ----------
    extractor
        The backbone, on its device: `(n, 3, h, w)` uint8 to `(n, tokens, channels)`.
    crops_per_pass
        Crops per pass.
    """

    def __init__(self, extractor: torch.nn.Module, crops_per_pass: int) -> None:
        self.extractor, self.crops_per_pass = extractor, crops_per_pass
        tensors = itertools.chain(extractor.parameters(), extractor.buffers())
        self.device = next((tensor.device for tensor in tensors), torch.device("cpu"))
        self._graph: tuple[torch.Size, Callable[[torch.Tensor], torch.Tensor]] | None = None

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        """Map `(n, 3, h, w)` uint8 to `(n, tokens, channels)` float16, on the extractor's device.

        On a GPU this returns before the work is done, like every CUDA operation.
        """
        while True:
            size = self.crops_per_pass
            try:
                return torch.cat([self._pass(part) for part in torch.split(crops, size)])
            except (*OUT_OF_MEMORY, RuntimeError) as error:
                if size == 1 or not _is_out_of_memory(error):
                    raise
                self._graph = None
                self.crops_per_pass = size // 2
                log.warning("out of memory with %d crops at a time: continuing with %d", size, self.crops_per_pass)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _pass(self, crops: torch.Tensor) -> torch.Tensor:
        missing = self.crops_per_pass - len(crops)
        padded = F.pad(crops, (0, 0, 0, 0, 0, 0, 0, missing)) if missing > 0 else crops
        padded = padded.to(self.device, non_blocking=True)
        return self._run(padded)[: len(crops)].to(torch.float16)

    def _run(self, crops: torch.Tensor) -> torch.Tensor:
        if self.device.type != "cuda":
            features: torch.Tensor = self.extractor(crops)
            return features
        if self._graph is None or self._graph[0] != crops.shape:
            self._graph = crops.shape, capture(self.extractor, crops)
        return self._graph[1](crops)


def capture(extractor: torch.nn.Module, example: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Record the extractor's kernels for one shape as a CUDA graph: a pass is one launch instead of hundreds.

    See "Accelerating PyTorch with CUDA Graphs", pytorch.org/blog/accelerating-pytorch-with-cuda-graphs.
    """
    crops = example.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries choose their kernels before they are recorded
        for _ in range(3):
            extractor(crops)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        features: torch.Tensor = extractor(crops)

    def replay(new: torch.Tensor) -> torch.Tensor:
        crops.copy_(new, non_blocking=True)
        graph.replay()
        return features.clone()

    return replay


def _is_out_of_memory(error: BaseException) -> bool:
    """CPU allocations fail with a plain RuntimeError."""
    return isinstance(error, OUT_OF_MEMORY) or "can't allocate memory" in str(error)

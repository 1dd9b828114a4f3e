"""Run the network alone in every available engine: the references of `extract.py`.

In: crops in memory. Out: functions that run a number of them and return crops per second.
"""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from stages.core.device import DTYPES, choose_batch_size, choose_precision
from stages.core.extraction.forward import ForwardPass
from stages.core.networks.feature_extractor import FeatureExtractor, fold_batch_norm, normalise
from stages.core.networks.registry import build_backbone

Rate = Callable[[int], float]  # runs the first so many images and answers with images per second
OURS = "network, as the pipeline runs it"


def contenders(device: torch.device) -> dict[str, Callable[[], Rate]]:
    """Every way to run ResNet-101, as a function that prepares it and prints a high cost of doing so."""
    count, batch = (64, 32) if device.type == "cpu" else (4096, 256)
    crops = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (64, 3, 224, 224), dtype=np.uint8)).to(device)
    crops = crops.repeat(count // 64, 1, 1, 1)
    half = crops[: count // 2]  # enough for the slow ones
    auto = choose_precision("auto", device)
    low = DTYPES[auto]
    found = {
        "network, eager fp32": lambda: plain(half, batch, torch.float32, torch.contiguous_format),
        "network, eager fp32 channels-last": lambda: plain(half, batch, torch.float32, torch.channels_last),
        f"network, eager {auto} channels-last": lambda: plain(crops, batch, low, torch.channels_last),
        f"network, torch.compile {auto} channels-last, folded": lambda: compiled(crops, batch, low),
        OURS: lambda: our_forward(crops, auto),
    }
    if device.type == "cpu":
        found |= {
            "network, OpenVINO bf16 (all cores on a batch)": lambda: openvino_together(crops, batch),
            "network, OpenVINO bf16 (a batch on each core)": lambda: openvino_each(crops, batch // 4),
            "network, onnxruntime fp32": lambda: onnxruntime_network(half, batch),
        }
    return found


def resnet() -> torch.nn.Module:
    return build_backbone("resnet101").network.eval().requires_grad_(False)


def in_batches(network: Callable, inputs: torch.Tensor, batch: int) -> Rate:
    @torch.inference_mode()
    def run(count: int) -> float:
        started = time.perf_counter()
        for part in inputs[:count].split(batch):
            network(part)
        if inputs.device.type == "cuda":
            torch.cuda.synchronize()
        return len(inputs[:count]) / (time.perf_counter() - started)

    return run


def plain(crops: torch.Tensor, batch: int, dtype: torch.dtype, layout: torch.memory_format) -> Rate:
    """Run eager torch on inputs that are already normalised."""
    network = resnet().to(crops.device, dtype, memory_format=layout)
    return in_batches(network, prepared(crops, dtype, layout), batch)


def prepared(crops: torch.Tensor, dtype: torch.dtype, layout: torch.memory_format) -> torch.Tensor:
    return normalise(crops, build_backbone("resnet101").native_input).to(dtype, memory_format=layout)


def compiled(crops: torch.Tensor, batch: int, dtype: torch.dtype) -> Rate:
    """Run `torch.compile` at its best: frozen weights on a CPU, CUDA graphs on a GPU."""
    import torch._inductor.config

    on_gpu = crops.device.type == "cuda"
    torch._inductor.config.freezing = not on_gpu
    torch._inductor.config.force_disable_caches = True  # an earlier run's code would hide what compiling costs
    network = fold_batch_norm(resnet()).to(crops.device, dtype, memory_format=torch.channels_last)
    run = in_batches(
        torch.compile(network, mode="reduce-overhead" if on_gpu else None),
        prepared(crops, dtype, torch.channels_last), batch,
    )  # fmt: skip
    started = time.perf_counter()
    run(batch)
    print(f"torch.compile took {time.perf_counter() - started:.0f} s before the first batch was done", flush=True)
    return run


def our_forward(crops: torch.Tensor, precision: str) -> Rate:
    """Run the pipeline's passes from bytes to float16 features; on a CPU each core runs a separate pass."""
    device, size = crops.device, choose_batch_size("auto", crops.device)
    extractor = FeatureExtractor(build_backbone("resnet101"), tokens=1, dtype=DTYPES[precision]).to(device)
    started = time.perf_counter()
    extractor.prepare_for((size, 3, 224, 224))
    print(f"the pipeline's own preparation took {time.perf_counter() - started:.1f} s", flush=True)
    forward = ForwardPass(extractor, size)
    if device.type == "cuda":
        return in_batches(forward, crops, size)

    def run(count: int) -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            started = time.perf_counter()
            list(pool.map(forward, crops[:count].split(size)))
            rate = len(crops[:count]) / (time.perf_counter() - started)
        torch.set_num_threads(threads)
        return rate

    return run


class Pooled(torch.nn.Module):
    """The network with the mean over its last map, as the other engines get it."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = resnet()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalised `(n, 3, 224, 224)` to `(n, 2048)`."""
        return self.trunk(x).mean(dim=(2, 3))


def openvino_together(crops: torch.Tensor, batch: int) -> Rate:
    network = openvino_network(crops, batch, "LATENCY")
    return engine(lambda parts: [network(part) for part in parts], crops, batch)


def openvino_each(crops: torch.Tensor, batch: int) -> Rate:
    import openvino

    network = openvino_network(crops, batch, "THROUGHPUT")

    def run_all(parts: list[np.ndarray]) -> None:
        queue = openvino.AsyncInferQueue(network)
        for part in parts:
            queue.start_async([part])
        queue.wait_all()

    return engine(run_all, crops, batch)


def openvino_network(crops: torch.Tensor, batch: int, hint: str) -> "openvino.CompiledModel":  # noqa: F821
    import openvino

    example = prepared(crops[:batch], torch.float32, torch.contiguous_format)
    model = openvino.convert_model(Pooled(), example_input=example, input=list(example.shape))
    options = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": hint}
    return openvino.Core().compile_model(model, "CPU", options)


def onnxruntime_network(crops: torch.Tensor, batch: int) -> Rate:
    import onnxruntime

    example = prepared(crops[:batch], torch.float32, torch.contiguous_format)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet.onnx"
        torch.onnx.export(Pooled(), (example,), path, dynamo=False, input_names=["x"])
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return engine(lambda parts: [session.run(None, {"x": part}) for part in parts], crops, batch)


def engine(run_all: Callable[[list[np.ndarray]], object], crops: torch.Tensor, batch: int) -> Rate:
    inputs = prepared(crops, torch.float32, torch.contiguous_format)

    def run(count: int) -> float:
        parts = [part.numpy() for part in inputs[:count].split(batch)]
        started = time.perf_counter()
        run_all(parts)
        return len(inputs[:count]) / (time.perf_counter() - started)

    return run

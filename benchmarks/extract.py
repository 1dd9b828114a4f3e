"""How fast `pipeline extract-features` is, beside the network alone and beside what else one could run.

    uv run --group benchmarks python benchmarks/extract.py [--images FOLDER] [--device cuda]

Without a folder, JPEGs of our own painting are made. End to end means: read, decode, transform, forward, write to the
disk. All contenders take turns within one run, after a warm-up; a figure is the median of the rounds. Weights are
random, which changes no speed: their batch-norm statistics are those of ImageNet-like noise, so that nothing overflows.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

from stages.backbone.architectures import build
from stages.backbone.network import FeatureExtractor, normalise
from stages.backbone.run import prepare_backbone
from stages.backbone.settings import BackboneSettings
from stages.device import DTYPES, choose_batch_size, choose_device, choose_precision
from stages.extract.forward import ForwardPass
from stages.extract.run import extract_features
from stages.extract.settings import FeatureSettings

SETTINGS = FeatureSettings(views=1, tokens=1)
Rate = Callable[[], float]  # runs once and answers with crops per second


def main() -> None:
    """Run the contenders and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of JPEG files (default: painted ones)")
    parser.add_argument("--count", type=int, default=256, help="images per round (default: %(default)s)")
    parser.add_argument("--side", type=int, default=256, help="shorter side of painted images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--device", default=choose_device().type, choices=("cpu", "cuda"))
    parser.add_argument("--skip", nargs="*", default=[], help="contenders to leave out, by a word of their name")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = gather(arguments, folder / "images")
        contenders = {
            title: make
            for title, make in {**network_alone(device), **end_to_end(folder, paths, device)}.items()
            if not any(word in title for word in arguments.skip)
        }
        report(measure(contenders, arguments.rounds), describe(device, paths))


def gather(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    """Bring the images into one folder of its own, which is what every contender reads."""
    folder.mkdir()
    if arguments.images:
        found = itertools.islice(sorted(arguments.images.rglob("*.jpg")), arguments.count)
        for number, path in enumerate(found):
            (folder / f"{number:05d}.jpg").write_bytes(path.read_bytes())
    else:
        for number in range(arguments.count):
            coarse = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
            size = (arguments.side * 4 // 3, arguments.side)
            Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(
                folder / f"{number:05d}.jpg", quality=90
            )
    return sorted(folder.iterdir())


def describe(device: torch.device, paths: list[Path]) -> str:
    side = statistics.median(min(Image.open(path).size) for path in paths)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU used"
    precision = choose_precision("auto", device)
    about = f"{len(paths)} JPEG files, median shorter side {side:.0f} px; {os.cpu_count()} cores, {where}"
    return f"{about}; auto is {precision}"


def measure(contenders: dict[str, Rate], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {title: [] for title in contenders}
    for number in range(rounds + 1):
        for title, run in contenders.items():
            rate = run()
            if number:  # the first is the warm-up
                rates[title].append(rate)
    return rates


def report(rates: dict[str, list[float]], about: str) -> None:
    alone = {title: values for title, values in rates.items() if title.startswith("network")}
    fastest = max(alone, key=lambda title: statistics.median(alone[title]))
    print(f"{about}\n\n{'':<48}{'images/s':>10}{'of the fastest network':>24}{'pipeline is x times':>21}")
    ours = rates[PIPELINE]
    for title, values in rates.items():
        of_fastest = statistics.median(a / b for a, b in zip(values, rates[fastest], strict=True))
        times = statistics.median(a / b for a, b in zip(ours, values, strict=True))
        print(f"{title:<48}{statistics.median(values):>10.1f}{of_fastest:>24.2f}{times:>21.2f}")
    print(f"\nfastest network alone: {fastest}")


# The network alone: crops that lie in memory


def network_alone(device: torch.device) -> dict[str, Rate]:
    crops = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (64, 3, 224, 224), dtype=np.uint8)).to(device)
    inputs = normalise(crops, build("resnet101").transform)
    resnet = plain_network()
    last = plain_network().to(memory_format=torch.channels_last)
    contenders = {
        "network, eager fp32": in_batches(resnet.to(device), inputs, device, 32),
        "network, eager fp32 channels-last": in_batches(last.to(device), inputs, device, 32),
    }
    precision = choose_precision("auto", device)
    if precision != "fp32":
        low = plain_network().to(device, DTYPES[precision], memory_format=torch.channels_last)
        contenders[f"network, eager {precision} channels-last"] = in_batches(
            low, inputs.to(DTYPES[precision]), device, 32
        )
    contenders["network, as the pipeline runs it"] = our_forward(crops, device, precision)
    if device.type == "cpu":
        contenders |= dict(yardsticks(inputs))
    return contenders


def plain_network() -> torch.nn.Module:
    return build("resnet101").network.eval().requires_grad_(False)


def in_batches(network: Callable, inputs: torch.Tensor, device: torch.device, size: int) -> Rate:
    def run() -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for part in inputs.split(size):
                network(part)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return len(inputs) / (time.perf_counter() - started)

    return run


def our_forward(crops: torch.Tensor, device: torch.device, precision: str) -> Rate:
    """The pipeline's passes without reading and writing: on a CPU every core runs its own."""
    size = choose_batch_size("auto", device)
    extractor = FeatureExtractor(build("resnet101"), tokens=1, dtype=DTYPES[precision]).to(device)
    extractor.prepare_for((size, 3, 224, 224))
    forward = ForwardPass(extractor, size)
    if device.type == "cuda":
        return in_batches(forward, crops.repeat(8, 1, 1, 1), device, size)

    def run() -> float:
        from concurrent.futures import ThreadPoolExecutor

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            started = time.perf_counter()
            list(pool.map(forward, crops.split(size)))
            rate = len(crops) / (time.perf_counter() - started)
        torch.set_num_threads(threads)
        return rate

    return run


def yardsticks(inputs: torch.Tensor) -> Iterator[tuple[str, Rate]]:
    """Other engines, on the same network."""
    import onnxruntime
    import openvino

    class Maps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = plain_network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.trunk(x).mean(dim=(2, 3))

    batch = inputs[:32]
    model = openvino.convert_model(Maps(), example_input=batch, input=list(batch.shape))
    for hint in ("LATENCY", "THROUGHPUT"):
        options = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": hint}
        compiled = openvino.Core().compile_model(model, "CPU", options)
        yield f"network, OpenVINO bf16 ({hint.lower()})", engine(lambda x, run=compiled: run(x), inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet.onnx"
        torch.onnx.export(Maps(), (batch,), path, dynamo=False, input_names=["x"])
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    yield "network, onnxruntime fp32", engine(lambda x: session.run(None, {"x": x}), inputs)


def engine(run_one: Callable[[np.ndarray], object], inputs: torch.Tensor) -> Rate:
    parts = [part.numpy() for part in inputs.split(32)]

    def run() -> float:
        started = time.perf_counter()
        for part in parts:
            run_one(part)
        return len(inputs) / (time.perf_counter() - started)

    return run


# End to end: from the files to features on the disk

PIPELINE = "pipeline extract-features"


def end_to_end(folder: Path, paths: list[Path], device: torch.device) -> dict[str, Rate]:
    contenders = {
        PIPELINE: our_pipeline(folder, paths, "auto"),
        f"{PIPELINE}, fp32": our_pipeline(folder, paths, "fp32"),
        "usual script (DataLoader, PIL, fp32, h5py)": usual_script(folder, paths, device),
    }
    if device.type == "cpu":
        contenders["thingsvision 2.7.3"] = thingsvision(folder, paths)
    return contenders


def our_pipeline(folder: Path, paths: list[Path], precision: str) -> Rate:
    """The stage as the command runs it, into an empty store every time."""
    import hashlib

    splits, weights, number = folder / "splits.csv", folder / "backbone.safetensors", itertools.count()
    rows = [f"{path.name},{hashlib.sha256(path.read_bytes()).hexdigest()},train" for path in paths]
    splits.write_text("\n".join(["image,sha256,split", *rows]) + "\n")
    common = {"splits": splits, "images": paths[0].parent, "max_pixels": 10**8}
    if not weights.exists():
        prepare_backbone(settings=BackboneSettings(weights="random"), features=SETTINGS, weights=weights, **common)

    def run() -> float:
        root = folder / f"ours-{precision}-{next(number)}"
        started = time.perf_counter()
        extract_features(
            settings=SETTINGS.model_copy(update={"precision": precision}),
            backbone=weights,
            store=root / "store",
            destination=root / "features",
            **common,
        )
        return len(paths) / (time.perf_counter() - started)

    return run


class UsualDataset(torch.utils.data.Dataset):
    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform = v2.Compose(
            [v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
             v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def usual_script(folder: Path, paths: list[Path], device: torch.device) -> Rate:
    """What tutorials show: worker processes that decode, the network in fp32, a row of an HDF5 dataset per image."""

    def run() -> float:
        started = time.perf_counter()
        network = torchvision.models.resnet101(weights=None)
        network.fc = torch.nn.Identity()
        network.eval().to(device)
        loader = torch.utils.data.DataLoader(UsualDataset(paths), batch_size=32, num_workers=min(os.cpu_count(), 8))
        with h5py.File(folder / "usual.h5", "w") as file, torch.no_grad():
            dataset = file.create_dataset("features", (len(paths), 2048), chunks=(1, 2048))
            row = 0
            for batch in loader:
                for feature in network(batch.to(device)).cpu().numpy():
                    dataset[row] = feature
                    row += 1
        return len(paths) / (time.perf_counter() - started)

    return run


def thingsvision(folder: Path, paths: list[Path]) -> Rate:
    command = ["uv", "run", "--no-project", "--python", "3.11", "--with", "thingsvision==2.7.3", "python"]
    script = Path(__file__).with_name("thingsvision_extract.py")

    def run() -> float:
        arguments = [*command, str(script), str(paths[0].parent), str(folder / "thingsvision"), "cpu"]
        answer = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if answer.returncode:
            sys.exit(f"thingsvision failed, leave it out with --skip thingsvision:\n{answer.stderr[-2000:]}")
        return float(answer.stdout.split()[-1])

    return run


if __name__ == "__main__":
    main()

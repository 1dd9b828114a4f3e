"""How fast heads train: our loop next to its own step on one batch in memory, and to the usual loop over HDF5.

    python benchmarks/train.py                  # all parts; --only loop | usual | minute

The cache's public writer stores synthetic float16 features of WikiArt's size: 48,866 train images, 27 classes of uneven
size, pooled (1 token) and as a 3 x 3 grid (9 tokens) of 2,048 channels. Contenders run in turns after a warm-up; a
figure is the median of the rounds, a ratio the median of the rounds' ratios.
"""

import argparse
import hashlib
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from cache import FeatureStore, publish
from stages.core.device import choose_device, has_bf16
from stages.core.features.artefact import FEATURES
from stages.core.features.labelled import LabelledFeatures, load_labelled_features
from stages.core.features.placement import FeatureArray, place
from stages.core.head.average import WeightAverage
from stages.core.head.fit import fit_head
from stages.core.head.losses import make_loss, mix_up
from stages.core.head.lstm import LSTMHead
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.head.training_data import TrainingData
from stages.core.optimisation.scores import accuracy, macro_f1
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES

TRAIN_IMAGES, CHANNELS, CLASSES, BLOCK = 48_866, 2048, 27, 512
# What a pooled head trains to early stop with in under a minute on two cores: the default recipe in larger steps.
MINUTE = {"batch_size": 256, "lr": 0.005, "epochs": 40, "patience": 2, "schedule": "plateau"}
# What the loop trains: the default head's probe is fitted after the last epoch.
LSTM = LSTMSettings(skip="none")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("loop", "usual", "minute"), help="one part only")
    parser.add_argument("--images", type=int, default=TRAIN_IMAGES, help="train images (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=150, help="steps of a measurement at most (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of every contender (default: %(default)s)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[TrainSettings().batch_size, 256])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 9])
    parser.add_argument("--threads", type=int, help="of torch (default: torch's own choice)")
    parser.add_argument("--folder", type=Path, help="where to write the features (default: temporary)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"{torch.get_num_threads()} threads of torch on {choose_device()}, bf16: {has_bf16(choose_device())}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for tokens in options.tokens:
            data = synthetic(Path(folder) / f"{tokens}", options.images, tokens)
            if options.only in (None, "loop"):
                compare_with_one_batch(data, options)
            if options.only in (None, "usual") and tokens == 1:
                compare_with_the_usual_loop(data, options)
            if options.only in (None, "minute") and tokens == 1:
                to_early_stop(data)


def synthetic(root: Path, images: int, tokens: int) -> LabelledFeatures:
    """Write features like a ReLU network's to the cache; there are a third as many val images as train images."""
    rng = np.random.default_rng(0)
    count = images + images // 3 + CLASSES
    shares = 1 / np.arange(1, CLASSES + 1)  # the largest class 27 times the smallest, as WikiArt's styles nearly are
    labels = np.concatenate([np.arange(CLASSES), rng.choice(CLASSES, count - CLASSES, p=shares / shares.sum())])
    directions = rng.standard_normal((CLASSES, CHANNELS), dtype=np.float32)
    keys = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(count)]
    store = FeatureStore(root / "store", {"made by": "benchmarks/train.py", "tokens": tokens}, (1, tokens, CHANNELS))
    with store.writer() as writer:
        for start in range(0, count, BLOCK):
            found = labels[start : start + BLOCK]
            noise = rng.standard_normal((len(found), tokens, CHANNELS), dtype=np.float32)
            values = np.maximum(noise + 0.06 * directions[found][:, None], 0)
            writer.append(keys[start : start + BLOCK], values[:, None].astype(np.float16))
    names = [f"{row:06d}.jpg" for row in range(count)]
    publish(store, keys, names, root / "features")
    adopt(root / "features" / "features.h5", FEATURES)
    split = np.array(["test"] * CLASSES + ["train"] * images + ["val"] * (images // 3))
    table = pd.DataFrame({"image": names, "sha256": keys, "group": names, "style": labels, "split": split})
    table.assign(style=[f"class {label:02d}" for label in labels]).to_csv(root / "splits.csv", index=False)
    adopt(root / "splits.csv", SPLIT_IMAGES)
    return load_labelled_features("style", features=root / "features", splits=root / "splits.csv")


def compare_with_one_batch(data: LabelledFeatures, options: argparse.Namespace) -> None:
    """Images per second of an epoch of `fit_head` and of the same model's step, again and again on one batch."""
    device = choose_device()
    for placement in ("ram", "stream"):
        placed = place(data.features, device, placement)
        for batch_size in options.batch_sizes:
            train = data.rows("train")[: options.steps * batch_size]
            settings = TrainSettings(batch_size=batch_size, epochs=1)
            measure_ours = lambda: ours(placed, data, train, settings)  # noqa: B023, E731
            measure_step = lambda: one_batch(placed, data, train, settings)  # noqa: B023, E731
            measure_bare = lambda: one_batch(placed, data, train, settings, plain=True)  # noqa: B023, E731
            title = f"{data.features.shape[2]} x 2,048, batch {batch_size}, {placement}"
            contenders = {"our loop": measure_ours, "the same step on one batch": measure_step}
            compare(title, contenders | {"the bare model": measure_bare}, options.rounds)


def ours(features: FeatureArray, data: LabelledFeatures, train: np.ndarray, settings: TrainSettings) -> float:
    """Images per second of one epoch, scores and all."""
    rows = TrainingData(features, data.labels, CLASSES, train, None)
    fit = fit_head(rows, Recipe(head=LSTM, train=settings), device=choose_device())
    return fit.epochs[0]["images_per_s"]


def one_batch(
    features: FeatureArray, data: LabelledFeatures, train: np.ndarray, settings: TrainSettings, *, plain: bool = False
) -> float:
    """Images per second of forward, loss, backward, clipping and AdamW on one resident batch, without scores.

    Mix-up and the moving average of the weights are part of our step by default; `plain` omits them.
    """
    device = choose_device()
    torch.manual_seed(0)
    head = LSTMHead(LSTM, channels=CHANNELS, classes=CLASSES).to(device).train()
    average, rng = WeightAverage(head), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    loss = make_loss(data.labels[train], CLASSES, settings, device)
    rows = train[: settings.batch_size]
    x, y = torch.as_tensor(features[rows, 0]).to(device), torch.from_numpy(data.labels[rows]).to(device)
    steps, started = len(train) // settings.batch_size, time.perf_counter()
    for _ in range(steps):
        inputs, batch_loss = (x, loss) if plain else mix_up(x, y, settings.mixup, loss, rng)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            logits = head(inputs).float()
        value = batch_loss(logits, y)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), settings.clip_norm)
        optimizer.step()
        if not plain:
            average.update()
    value.item()
    return steps * len(rows) / (time.perf_counter() - started)


class UsualDataset(Dataset):
    """The Dataset of most repositories: it opens the file for each item and converts it to float32."""

    def __init__(self, path: Path, rows: np.ndarray, labels: np.ndarray) -> None:
        self.path, self.rows, self.labels = path, rows, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with h5py.File(self.path, "r") as file:
            return torch.from_numpy(file["features"][self.rows[index], 0].astype(np.float32)), int(self.labels[index])


def usual(path: Path, rows: np.ndarray, labels: np.ndarray, batch_size: int, workers: int, threads: int) -> float:
    """Images per second of the usual loop: DataLoader, fp32, the same head and AdamW."""
    torch.set_num_threads(threads)
    dataset = UsualDataset(path, rows, labels)
    head = LSTMHead(LSTM, channels=CHANNELS, classes=CLASSES).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    loader, started = DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=workers), 0.0
    for x, y in loader:
        started = started or time.perf_counter()  # from the first batch on: its start-up is not the loader's rate
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(x), y).backward()
        optimizer.step()
    return (len(loader) - 1) * batch_size / (time.perf_counter() - started)


def compare_with_the_usual_loop(data: LabelledFeatures, options: argparse.Namespace) -> None:
    """Our loop next to the usual one without and with two workers, which runs in a separate process."""
    train, cached = data.rows("train"), data.features
    few = np.random.default_rng(0).permutation(train)[: min(len(train), 9_000)]
    from_file = cached._cache.path, cached._rows[few], data.labels[few]
    # What our loop settles for its process, that freed memory is kept, does not reach this one.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
        for batch_size in options.batch_sizes:
            settings = TrainSettings(batch_size=batch_size, epochs=1)
            placed = place(data.features, choose_device())
            many = train[: options.steps * batch_size]

            def theirs(workers: int, batch_size: int = batch_size) -> float:
                return elsewhere.submit(usual, *from_file, batch_size, workers, torch.get_num_threads()).result()

            contenders = {
                "our loop": lambda: ours(placed, data, many, settings),  # noqa: B023
                "usual, no worker": lambda: theirs(0),
                "usual, two workers": lambda: theirs(2),
            }
            compare(f"1 x 2,048, batch {batch_size}", contenders, options.rounds)


def compare(title: str, contenders: dict[str, Callable[[], float]], rounds: int) -> None:
    """Measure in turns, and print the medians and the ratio of the first contender to each other one."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, measure in contenders.items():
            rate = measure()
            if number:  # the first round warms up
                found[name].append(rate)
    first, *others = found
    print(f"{title}: {first} {statistics.median(found[first]):,.0f} images/s", flush=True)
    for name in others:
        ratios = [a / b for a, b in zip(found[first], found[name], strict=True)]
        print(
            f"  {statistics.median(ratios):.2f} x {name} ({statistics.median(found[name]):,.0f} images/s; "
            f"ratios {min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def to_early_stop(data: LabelledFeatures) -> None:
    """Time training a pooled head for 27 classes to early stopping, with the default settings and with `MINUTE`."""
    val = data.rows("val")
    for name, changes in (("the default settings", {}), (", ".join(f"{k}={v}" for k, v in MINUTE.items()), MINUTE)):
        started, settings = time.perf_counter(), TrainSettings(**changes)
        ended: list[float] = []
        fit = fit_head(
            TrainingData.of(data, place(data.features, choose_device())), Recipe(train=settings),
            device=choose_device(), on_epoch=lambda _, ended=ended: ended.append(time.perf_counter()),
        )  # fmt: skip
        finished = time.perf_counter()
        y_pred = fit.val_logits.argmax(axis=1)
        print(
            f"to early stop with {name}: {finished - started:.1f} s, loading and the linear path "
            f"({finished - ended[-1]:.1f} s) included; {len(fit.epochs)} epochs, best {fit.best_epoch}, val macro F1 "
            f"{macro_f1(data.labels[val], y_pred):.3f}, accuracy {accuracy(data.labels[val], y_pred):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

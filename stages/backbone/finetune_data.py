"""Training images for fine-tuning: which they are, how each is cut in each epoch, and who gets them in which step.

In: `data/splits.csv` and the images. Out: batches of pixels and labels. Every random choice is keyed by (seed, epoch,
image), so that neither the number of workers nor an interruption changes what is trained on.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from stages.backbone.settings import FinetuneSettings
from stages.core.errors import StageError
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import UnusableImage
from stages.core.images.views import load_views
from stages.core.tables.columns import SPLIT_IMAGES, missing_label_columns
from stages.core.tables.csv_files import read_table

# Label of an image that could not be read: `cross_entropy` leaves it out.
UNREADABLE = -100
CENTRE_CROP = 0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledImages:
    """One split's images with a label.

    Attributes
    ----------
    images, keys
        Paths relative to the image root, and the SHA-256 of the files' bytes.
    labels
        Shape `(n,)`, int64: indices into the classes.
    """

    images: list[str]
    keys: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)


def read_labelled_images(target: str, splits: Path) -> tuple[LabelledImages, LabelledImages, list[str]]:
    """Read the train and val images of a label column, and the classes that occur in train, sorted.

    Rows are in the order of their keys, so that a renamed file changes nothing. No other split is looked at.

    Raises
    ------
    StageError
        If there is no such column, fewer than two classes in train, or no labelled val image.
    """
    table = read_table(splits, SPLIT_IMAGES, columns=["image", "sha256", "split"])
    if problem := missing_label_columns([target], table.columns, splits):
        raise StageError(f"backbone.finetune.target: {problem}")
    table = table[table["split"].isin(["train", "val"]) & (table[target] != "")]
    table = table.drop_duplicates("sha256").sort_values("sha256")
    classes = sorted(table.loc[table["split"] == "train", target].unique())
    if len(classes) < 2:
        raise StageError(f"{target}: two or more classes are needed in the train split of {splits} to fine-tune on")
    known = table[table[target].isin(classes)]
    train, val = (_labelled(known[known["split"] == split], target, classes) for split in ("train", "val"))
    if not len(val):
        raise StageError(f"{target}: no image of the val split of {splits} has a label: fine-tuning cannot be judged")
    return train, val, classes


def _labelled(rows: pd.DataFrame, target: str, classes: list[str]) -> LabelledImages:
    code = {name: index for index, name in enumerate(classes)}
    labels = rows[target].map(code).to_numpy(dtype=np.int64)
    return LabelledImages(rows["image"].tolist(), rows["sha256"].tolist(), labels)


class Crops(Dataset):
    """Pixels and label of an image as an epoch sees it; an item is asked for by (row, epoch).

    Parameters
    ----------
    data
        The images.
    root
        The image root.
    features
        Sizes and decoder, those of extraction, with nothing `auto` left in the sizes.
    settings
        The augmentation.
    max_pixels
        Larger images are not decoded.
    """

    def __init__(
        self, data: LabelledImages, root: Path, features: FeatureSettings, settings: FinetuneSettings, max_pixels: int
    ) -> None:
        self.data, self.root, self.max_pixels = data, root, max_pixels
        self.features = features.model_copy(update={"random_state": settings.random_state})
        self.settings = settings

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: tuple[int, int]) -> tuple[torch.Tensor, int]:
        """Pixels `(3, crop_px, crop_px)` uint8 and the label; `CENTRE_CROP` as epoch asks for no augmentation."""
        row, epoch = item
        key, label = self.data.keys[row], int(self.data.labels[row])
        try:
            return torch.from_numpy(self._cut(self.data.images[row], key, epoch)), label
        except UnusableImage as problem:
            log.warning("%s left out of fine-tuning: %s", self.data.images[row], problem)
            return torch.zeros(3, self.features.crop_px, self.features.crop_px, dtype=torch.uint8), UNREADABLE

    def _cut(self, image: str, key: str, epoch: int) -> np.ndarray:
        zoom, mirrored = (1.0, False) if epoch == CENTRE_CROP else self._drawn(key, epoch)
        features = self.features.model_copy(update={"resize_px": round(self.features.resize_px * zoom)})
        # Extraction's random views, a new one every epoch.
        view = epoch if self.settings.random_crops else CENTRE_CROP
        pixels = load_views(self.root, image, key, settings=features, max_pixels=self.max_pixels, views=[view])[0]
        return np.ascontiguousarray(pixels[:, :, ::-1] if mirrored else pixels)

    def _drawn(self, key: str, epoch: int) -> tuple[float, bool]:
        """The zoom and whether to mirror, drawn from nothing but the image, the epoch and the seed."""
        digest = hashlib.sha256(f"zoom and flip {key} {epoch} {self.settings.random_state}".encode()).digest()
        share = int.from_bytes(digest[:6], "big") / 2**48
        zoom = 1 + share * (self.settings.max_zoom - 1) if self.settings.random_crops else 1.0
        return zoom, self.settings.flips and digest[6] % 2 == 0


class Steps(Sampler):
    """Which images go into which step: every image once an epoch, in steps of nearly equal size.

    A step's images are dealt out to the processes in turn, so that the steps are the same however many there are.

    Parameters
    ----------
    count
        Images.
    batch_size
        Images per step, over all processes together.
    random_state
        Seed of the order.
    rank, processes
        This process, of how many.
    """

    def __init__(self, count: int, batch_size: int, random_state: int, rank: int, processes: int) -> None:
        self.count, self.random_state, self.rank, self.processes = count, random_state, rank, processes
        self.steps = -(-count // batch_size)
        self.epoch = 1
        if count // self.steps < processes:
            raise StageError(
                f"{count} train images in steps of {batch_size} do not go round {processes} processes: "
                "raise backbone.finetune.batch_size or use fewer processes"
            )

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.random_state, self.epoch]).permutation(self.count)
        for step in np.array_split(order, self.steps):
            yield [(int(row), self.epoch) for row in step[self.rank :: self.processes]]

    def step_sizes(self) -> list[int]:
        """Images in each step, over all processes."""
        return [len(part) for part in np.array_split(np.arange(self.count), self.steps)]


def centre_batches(count: int, batch_size: int, rank: int, processes: int) -> list[list[tuple[int, int]]]:
    """This process's share of all images, in order, for validation."""
    mine = range(rank, count, processes)
    return [
        [(row, CENTRE_CROP) for row in mine[start : start + batch_size]] for start in range(0, len(mine), batch_size)
    ]


def loader(crops: Crops, batches: Sampler | list, workers: int, device: torch.device) -> DataLoader:
    """Cut batches in worker processes (0: in this one), ahead of the network."""
    return DataLoader(
        crops,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )

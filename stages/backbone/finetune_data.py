"""Training images for fine-tuning: which ones, how each is cut in each epoch, and who gets them in which step.

In: `data/splits.csv` and the images. Out: batches of pixels and labels. Every random choice is keyed by (seed, epoch,
image), so that neither the number of workers nor an interruption changes what is trained on.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from stages.backbone.settings import FinetuneSettings
from stages.core.errors import StageError
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.images.transform import Transform
from stages.core.images.views import CENTRE_VIEW, ViewsOfFile, load_views_apart
from stages.core.parallel import in_order
from stages.core.tables.columns import SPLIT_IMAGES, missing_label_columns
from stages.core.tables.csv_files import read_table

# Label of an image that could not be read: `cross_entropy` leaves it out.
UNREADABLE = -100
# As an item's epoch: no augmentation.
CENTRE_CROP = 0

# Batches that are cut ahead, per decoding process.
AHEAD = 2

log = logging.getLogger(__name__)
Item = tuple[int, int]
Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class ImageSource:
    """Where train images come from.

    Attributes
    ----------
    splits
        The table of split.
    images
        The image root.
    transform
        Sizes and decoder, those of extraction.
    max_failed_share
        Share of the images that may be unreadable before the run stops.
    """

    splits: Path
    images: ImageFolder
    transform: Transform
    max_failed_share: float


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

    Rows are in the order of their keys, so that a renamed file changes nothing. No other split is used.

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


class Crops:
    """Pixels and labels of images as an epoch sees them; items are (row, epoch).

    Parameters
    ----------
    data
        The images.
    images
        The image root.
    transform
        Sizes and decoder, those of extraction.
    settings
        The augmentation, and the seed of its crops.
    """

    def __init__(
        self, data: LabelledImages, images: ImageFolder, transform: Transform, settings: FinetuneSettings
    ) -> None:
        self.data, self.images, self.settings = data, images, settings
        self.transform = replace(transform, random_state=settings.random_state)

    def __len__(self) -> int:
        return len(self.data)

    def cut(self, items: Sequence[tuple[int, int]], decoders: Decoders) -> Batch:
        """Cut a batch in a decoding process; epoch `CENTRE_CROP` gives centre crops.

        Returns
        -------
        pixels, labels : Tensor
            `(n, 3, crop_px, crop_px)` uint8 and `(n,)` int64; black and `UNREADABLE` for an image that cannot be read.
        """
        drawn = [self._draw_crop(self.data.keys[row], epoch) for row, epoch in items]
        wanted = [
            ViewsOfFile(self.data.images[row], self.data.keys[row], transform, (view,))
            for (row, _), (transform, view, _) in zip(items, drawn, strict=True)
        ]
        side = self.transform.crop_px
        pixels = np.zeros((len(items), 3, side, side), np.uint8)
        labels = self.data.labels[[row for row, _ in items]].copy()
        found = load_views_apart(decoders, self.images, wanted)
        for index, (views, (_, _, mirrored)) in enumerate(zip(found, drawn, strict=True)):
            if isinstance(views, UnusableImage):
                log.warning("%s left out of fine-tuning: %s", wanted[index].image, views)
                labels[index] = UNREADABLE
            else:
                pixels[index] = views[0, :, :, ::-1] if mirrored else views[0]
        return torch.from_numpy(pixels), torch.from_numpy(labels)

    def _draw_crop(self, key: str, epoch: int) -> tuple[Transform, int, bool]:
        """How an image is resized in an epoch, which view of it is cut, and whether it is mirrored."""
        zoom, mirrored = (1.0, False) if epoch == CENTRE_CROP else self._draw(key, epoch)
        transform = replace(self.transform, resize_px=round(self.transform.resize_px * zoom))
        # Extraction's random views, a new one every epoch.
        return transform, epoch if self.settings.random_crops else CENTRE_VIEW, mirrored

    def _draw(self, key: str, epoch: int) -> tuple[float, bool]:
        """Draw the zoom and whether to mirror, from nothing but the image, the epoch and the seed."""
        digest = hashlib.sha256(f"zoom and flip {key} {epoch} {self.settings.random_state}".encode()).digest()
        share = int.from_bytes(digest[:6], "big") / 2**48
        zoom = 1 + share * (self.settings.max_zoom - 1) if self.settings.random_crops else 1.0
        return zoom, self.settings.flips and digest[6] % 2 == 0


class Steps:
    """Which images go into which step: every image once an epoch, in steps of nearly equal size.

    A step's images are dealt to the processes in turn, so that the steps do not depend on the number of processes.

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
                f"{count} train images in steps of {batch_size} are too few for {processes} processes: "
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


@dataclass(frozen=True)
class CropLoader:
    """Batches of crops in order, cut ahead of the network by decoding processes.

    Parameters
    ----------
    crops
        The images.
    batches
        Which images go into which batch; iterated over once an epoch.
    workers
        Decoding processes.
    device
        Where the batches are going.
    """

    crops: Crops
    batches: Steps | list[list[Item]]
    workers: int
    device: torch.device

    def __iter__(self) -> Iterator[Batch]:
        batches = list(self.batches)

        def work(index: int) -> Batch:
            pixels, labels = self.crops.cut(batches[index], decoders)
            return (pixels.pin_memory(), labels.pin_memory()) if self.device.type == "cuda" else (pixels, labels)

        # Decoders end first: no thread then waits for a picture.
        with ThreadPoolExecutor(self.workers) as pool, Decoders() as decoders:
            yield from in_order(pool, work, len(batches), ahead=AHEAD * self.workers)

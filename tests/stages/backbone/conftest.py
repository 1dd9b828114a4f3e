"""A folder of small pictures of three kinds, divided into splits, to prepare backbones on."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.backbone.prepare_backbone import prepare_backbone
from stages.backbone.settings import BackboneSettings
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import ImageFolder
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES

FEATURES = FeatureSettings(resize_px=40, crop_px=32, views=1, tokens=1)


class Collection:
    """The folder: `images/`, `data/splits.csv`, and what `prepare` makes in `models/`."""

    def __init__(self, root: Path) -> None:
        self.root, self.images, self.splits = root, root / "images", root / "data" / "splits.csv"
        self.weights = root / "models" / "backbone.safetensors"

    def prepare(self, n_jobs: int = 1, **settings: object) -> bytes:
        """Prepare a backbone and return the bytes of its weights."""
        prepare_backbone(
            settings=BackboneSettings(calibration_images=8, **settings),
            features=FEATURES, splits=self.splits, images=ImageFolder(self.images), weights=self.weights, n_jobs=n_jobs,
        )  # fmt: skip
        return self.weights.read_bytes()


@pytest.fixture
def make_collection(tmp_path: Path) -> Callable[..., Collection]:
    """Make a collection of `count` pictures, every fifth in val and every sixth in test; each kind has its colour."""

    def make(count: int = 48, folder: str = "project") -> Collection:
        made = Collection(tmp_path / folder)
        made.images.mkdir(parents=True)
        made.splits.parent.mkdir()
        rows, rng = ["image,sha256,group,split,style"], np.random.default_rng(0)
        for i in range(count):
            kind = i % 3
            coarse = rng.integers(0, 256, (5, 6, 3))
            coarse[..., kind] = 255 - coarse[..., kind] // 3
            path = made.images / f"{i:03d}.png"
            Image.fromarray(coarse.astype(np.uint8)).resize((60, 48), Image.Resampling.BICUBIC).save(path)
            split = "val" if i % 5 == 4 else "test" if i % 6 == 5 else "train"
            rows.append(f"{path.name},{hashlib.sha256(path.read_bytes()).hexdigest()},g{i},{split},{'abc'[kind]}")
        made.splits.write_text("\n".join(rows) + "\n")
        adopt(made.splits, SPLIT_IMAGES)
        return made

    return make

"""A small labelled collection whose features were made up, but went through the real cache."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, sync_playwright

from cache import FeatureStore, publish
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from tests.chain import adopt_features

SHAPE = (2, 4, 24)
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def plain_lstm(**settings: object) -> LSTMSettings:
    """Two LSTM layers and a linear layer: nothing is normalised, dropped or added, unless settings say so."""
    off = {"power_norm": 1.0, "projection": 0, "skip": "none", "feature_dropout": 0.0, "dropout": 0.0}
    return LSTMSettings(**{"bidirectional": False} | off | settings)


def made_up_features(labels: list[str], noise: float, seed: int) -> np.ndarray:
    """Each class has a direction of its own; images scatter around it. `(n, *SHAPE)`, float16."""
    rng = np.random.default_rng(seed)
    directions = {name: rng.standard_normal(SHAPE[-1]) for name in sorted(set(labels))}
    centres = np.stack([directions[name] for name in labels])[:, None, None]
    return (centres + noise * rng.standard_normal((len(labels), *SHAPE))).astype(np.float16)


class Project:
    """Paths of a small project, and the labels that its images truly have."""

    def __init__(self, root: Path, table: pd.DataFrame, truth: list[str], noise: float, seed: int) -> None:
        self.features, self.splits = root / "features", root / "splits.csv"
        self.head, self.reports = root / "heads" / "style", root / "reports" / "style"
        self.work = root / ".training" / "style"
        self.store, self.truth = FeatureStore(root / "store", {"made up with seed": seed}, SHAPE), truth
        self.table = table
        table.to_csv(self.splits, index=False)
        adopt(self.splits, SPLIT_IMAGES)
        with self.store.writer() as writer:
            writer.append(table["sha256"].tolist(), made_up_features(truth, noise, seed))
        publish(self.store, table["sha256"].tolist(), table["image"].tolist(), self.features)
        adopt_features(self.features)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chromium, driven by Playwright."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Make a project of `truth` labels, shown to the stages as `labels` (the same unless given)."""

    def make(
        truth: list[str], labels: list[str] | None = None, groups: list[int] | None = None,
        splits: list[str] | None = None, noise: float = 1.0, seed: int = 0, folder: str = "project",
    ) -> Project:  # fmt: skip
        count = len(truth)
        order = np.random.default_rng(seed).permutation(count)
        default = np.empty(count, dtype=object)
        default[order] = (["train", "train", "train", "val", "test"] * count)[:count]
        table = pd.DataFrame(
            {
                "image": [f"{i:04d}.jpg" for i in range(count)],
                "style": labels or truth,
                "sha256": [hashlib.sha256(f"{seed} {i}".encode()).hexdigest() for i in range(count)],
                "width": 9, "height": 9, "mode": "RGB",
                "group": [f"g{i:05d}" for i in (groups or range(count))],
                "split": splits or default,
            }
        )  # fmt: skip
        (tmp_path / folder).mkdir()
        return Project(tmp_path / folder, table, truth, noise, seed)

    return make

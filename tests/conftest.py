"""What several test modules share: small image folders, and a project in an empty folder to run commands in."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
# Before torch is imported: the tests run side by side already, a core each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell's background job ignores Ctrl-C, and so would every command that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


def picture(seed: int, size: tuple[int, int] = (80, 64)) -> Image.Image:
    """A smooth random picture: no two seeds look alike to a perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def image_root(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    return root


@pytest.fixture
def save_picture(image_root: Path) -> Callable[..., Path]:
    """Save a picture under the image root; the suffix of the name decides the format."""

    def save(name: str, seed: int, size: tuple[int, int] = (80, 64), **options: object) -> Path:
        path = image_root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed, size).save(path, **options)
        return path

    return save


def run_pipeline(*arguments: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the real command in a folder, as a person would."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | options.pop("env", {})
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, check=False, **options)

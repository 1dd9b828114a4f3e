"""The benchmarks of the outlier study run on small collections, and measure what they say."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from tests.conftest import REPOSITORY
from tests.stages.conftest import made_up_features


def run(name: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / name), *arguments]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_part_of_find_outliers_is_timed_and_memory_is_sampled(tmp_path: Path) -> None:
    printed = run("outliers.py", "--images", "300", "--epochs", "1", "--side", "64", "--n-jobs", "1", cwd=tmp_path)
    parts = {
        name: float(seconds) for name, seconds in re.findall(r"^ +300  (.+?) {2,}([\d.]+) +[\d.]+$", printed, re.M)
    }
    whole = parts.pop("all, for the first target")
    later = parts.pop("all, for a later target")
    assert later < whole
    assert abs(sum(parts.values()) - whole) < 1
    assert parts["folds"] > 0
    assert parts["how pictures look"] > 0
    assert float(re.search(r"peak memory, children included: ([\d.]+) GiB", printed)[1]) > 0.1


def test_flipped_labels_are_ranked_first_and_listed(tmp_path: Path) -> None:
    labels = ["dabs", "dots", "glaze"] * 40
    images = [f"{number:03d}.jpg" for number in range(120)]
    keys = [hashlib.sha256(image.encode()).hexdigest() for image in images]
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["features"] = np.abs(made_up_features(labels, 0.5, 0))[:, 0]
        file["sha256"], file["image"] = keys, images
    pd.DataFrame({"image": images, "style": labels}).to_csv(tmp_path / "labels.csv", index=False)
    options = ["--targets", "style", "--seeds", "1", "--min-images", "2", "--n-jobs", "1"]
    printed = run("label_noise.py", "features.h5", "labels.csv", *options, cwd=tmp_path)
    header, *_, mean = [line for line in printed.splitlines() if "style" in line or "in a tenth" in line][1:]
    values = [float(value) for value in mean.removeprefix("style, mean").split()]
    found = dict(zip(re.split(r" {2,}", header.strip()), values, strict=True))
    assert found["AP"] > 0.8
    assert found["found"] == 1
    assert found["listed"] < 0.2
    assert found["AP cleanlab"] > 0.5
    assert found["chance"] == 0.05

"""The benchmark of the recipe runs on whatever has the layout of its inputs."""

import hashlib
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from tests.conftest import REPOSITORY
from tests.stages.conftest import made_up_features


def test_it_scores_heads_and_baselines_on_a_split_by_picture(tmp_path: Path) -> None:
    labels = ["dabs", "dots", "glaze"] * 20
    features = np.abs(made_up_features(labels, 1.0, 0))[:, 0]
    images = [f"{number:02d}.jpg" for number in range(60)]
    keys = [hashlib.sha256(image.encode()).hexdigest() for image in images]
    keys[3], features[3] = keys[0], features[0]  # an exact duplicate
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["features"], file["sha256"], file["image"] = features, keys, images
    rare = ["once", *[""] * 59]
    pd.DataFrame({"image": images, "style": labels, "genre": rare}).to_csv(tmp_path / "labels.csv", index=False)
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "recipe.py"), "features.h5", "labels.csv"]
    command += ["--targets", "style", "--min-images", "2", "--save", "runs.csv", "--n-jobs", "2"]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    for seeds in ("1", "2"):
        done = subprocess.run(
            [*command, "--seeds", seeds], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "seed 0" not in done.stdout  # the second call went on with what the first one had saved
    runs = pd.read_csv(tmp_path / "runs.csv").set_index(["variant", "seed"])
    assert runs.loc[("default", 1), "test_accuracy"] > runs.loc[("majority class", 0), "test_accuracy"]
    assert runs.loc[("default, LSTM alone", 1), "test_accuracy"] > runs.loc[("majority class", 0), "test_accuracy"]
    assert "| logistic regression" in done.stdout
    assert len(runs) == 7  # three baselines, two heads, each also without its linear path

"""The benchmark of training runs, and compares loops that do the same work."""

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def test_it_measures_all_its_parts_on_a_small_collection(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "train.py"), "--folder", str(tmp_path)]
    command += ["--images", "300", "--steps", "3", "--rounds", "1", "--batch-sizes", "64", "--tokens", "1", "4"]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (
        len(re.findall(r"^[14] x 2,048, batch 64, (?:ram|stream): our loop [\d,]+ images/s$", done.stdout, re.M)) == 4
    )
    assert done.stdout.count(" x the same step on one batch (") == 4
    assert done.stdout.count(" x the bare model (") == 4
    assert done.stdout.count(" x usual, ") == 2
    assert len(re.findall(r"to early stop with .* val macro F1 0\.\d+", done.stdout)) == 2

"""Whatever goes wrong: one line that says what, where and what to do, and finished work is still there."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from stages.core.records.outputs import adopt
from stages.core.tables.columns import MANIFEST, SPLIT_IMAGES
from tests.end_to_end.conftest import command

Run = Callable[..., subprocess.CompletedProcess[str]]


def error_line(result: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The message, after checking that it is one line and no traceback."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: ")
    return result.stderr.strip().splitlines()[-1]


def digest_of(*files: Path) -> list[bytes]:
    return [file.read_bytes() for file in files]


def test_a_missing_image_root(pipeline: Run, project: Path) -> None:
    before = digest_of(project / "data" / "clean.csv", project / "data" / "rejected.csv")
    message = error_line(pipeline("clean", "--set", "dataset.images=nowhere"))
    assert "dataset.images is nowhere, which is not a folder" in message
    assert digest_of(project / "data" / "clean.csv", project / "data" / "rejected.csv") == before


def test_an_empty_manifest(pipeline: Run, project: Path) -> None:
    (project / "data" / "manifest.csv").write_text("image,style\n")
    adopt(project / "data" / "manifest.csv", MANIFEST)
    assert "manifest.csv lists no images" in error_line(pipeline("clean"))
    assert (project / "data" / "clean.csv").stat().st_size > 1000


def test_a_label_table_without_rows(pipeline: Run, project: Path) -> None:
    (project / "labels.csv").write_text("image,style\n")
    before = digest_of(project / "data" / "manifest.csv")
    options = ("--set", "dataset.source=csv", "--set", "dataset.labels=labels.csv", "--set", "dataset.images=data")
    assert "no images found" in error_line(pipeline("ingest", *options))
    assert digest_of(project / "data" / "manifest.csv") == before


def test_the_demo_is_named_with_the_command_that_paints_it(pipeline: Run, project: Path) -> None:
    shutil.rmtree(project / "data" / "demo")
    assert "paint the demo collection with `pipeline paint-demo` first" in error_line(pipeline("ingest"))
    assert "'csv' or 'parquet'" in error_line(pipeline("ingest", "--set", "dataset.source=demo"), code=2)


def test_an_image_that_vanished_is_left_out_and_the_exit_code_says_so(pipeline: Run, project: Path) -> None:
    splits = pd.read_csv(project / "data" / "splits.csv", keep_default_na=False).drop_duplicates("sha256", keep=False)
    (project / "data" / "demo" / "images" / splits["image"].iloc[0]).unlink()
    shutil.rmtree(project / ".features")
    message = error_line(pipeline("extract-features"))
    assert "1 images could not be read" in message
    assert "failed.csv" in message
    failed = pd.read_csv(project / "data" / "features" / "failed.csv")
    assert failed[["image", "reason"]].values.tolist() == [[splits["image"].iloc[0], "missing"]]
    accepted = pipeline("extract-features", "--allow-failed")
    assert accepted.returncode == 0
    assert accepted.stdout.strip().endswith("1 failed: data/features")


def test_a_target_that_no_column_has(pipeline: Run, project: Path) -> None:
    message = error_line(pipeline("train-head", "--target", "period"))
    assert "no label column 'period'; it has: style, genre, artist" in message
    assert not (project / "models" / "heads" / "period" / "head.json").exists()


@pytest.mark.parametrize("target", ["../style", "/etc", "a b", ""])
def test_a_target_that_is_no_name_is_wrong_usage(pipeline: Run, target: str) -> None:
    assert "letters, digits" in error_line(pipeline("train-head", "--target", target), code=2)


def test_wrong_settings_are_wrong_usage(pipeline: Run) -> None:
    assert "train.lrr: unknown key; allowed here: batch_size" in error_line(
        pipeline("clean", "--set", "train.lrr=1"), code=2
    )
    assert "no.yaml does not exist" in error_line(pipeline("clean", "--params", "no.yaml"), code=2)


def test_a_class_with_one_image_is_said_and_trained(pipeline: Run, project: Path) -> None:
    lines = (project / "data" / "splits.csv").read_text(encoding="utf-8").splitlines()
    rare = next(i for i, line in enumerate(lines) if line.endswith(",train"))
    image, _, *rest = lines[rare].split(",")
    lines[rare] = ",".join([image, "unheard-of", *rest])
    (project / "data" / "splits.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    adopt(project / "data" / "splits.csv", SPLIT_IMAGES)
    manifest = pd.read_csv(project / "data" / "manifest.csv", dtype=str, keep_default_na=False)
    manifest.loc[manifest["image"] == image, "style"] = "unheard-of"
    manifest.to_csv(project / "data" / "manifest.csv", index=False)
    adopt(project / "data" / "manifest.csv", MANIFEST)
    result = pipeline("train-head", "--target", "style")
    assert result.returncode == 0, result.stderr
    assert "class 'unheard-of' has 1 images, none in val or test" in result.stderr


def test_a_corrupt_shard_is_set_aside_and_its_images_are_computed_again(pipeline: Run, project: Path) -> None:
    before = digest_of(project / "data" / "features" / "features.h5")
    shard = next((project / ".features").rglob("shard-*.h5"))
    shard.write_bytes(shard.read_bytes()[:5000])
    result = pipeline("extract-features")
    assert result.returncode == 0, result.stderr
    assert shard.name in result.stderr
    assert "set aside" in result.stderr
    assert digest_of(project / "data" / "features" / "features.h5") == before


def test_a_corrupt_published_cache_is_named_with_the_fix(pipeline: Run, project: Path) -> None:
    path = project / "data" / "features" / "features.h5"
    head = digest_of(project / "models" / "heads" / "style" / "head.safetensors")
    path.unlink()
    path.write_bytes(b"not HDF5")
    message = error_line(pipeline("train-head", "--target", "style"))
    assert "features.h5" in message
    assert "extract-features" in message
    assert digest_of(project / "models" / "heads" / "style" / "head.safetensors") == head


def test_a_full_disk(pipeline: Run, project: Path) -> None:
    """A limit on the size of files stands for a full disk: the system call fails alike (see tests/cache for tmpfs)."""
    store = sorted((project / ".features").rglob("shard-*.h5"))
    published = digest_of(project / "data" / "features" / "features.h5")
    result = command(
        "pipeline", "extract-features", "--set", "features.random_state=5", cwd=project, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)),
    )  # fmt: skip
    message = error_line(result)
    assert "MiB" in message or "limit" in message
    assert all(path.exists() for path in store)
    assert digest_of(project / "data" / "features" / "features.h5") == published
    assert list(project.rglob("*.partial")) == []
    assert pipeline("extract-features").returncode == 0


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write anywhere")
def test_a_read_only_folder(project: Path) -> None:
    # As root, only a process that gave up the right to override permissions is stopped by them.
    without_override = (
        ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []
    )
    before = digest_of(project / "data" / "splits.csv")
    folders = [project / "data", project / "models", project / "models" / "heads" / "style"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for arguments in (("split",), ("train-head", "--target", "style")):
            result = command(*without_override, "pipeline", *arguments, cwd=project, check=False)
            message = error_line(result)
            assert "ermission" in message
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert digest_of(project / "data" / "splits.csv") == before


def test_an_interrupted_run_goes_on_where_it_stopped(pipeline: Run, project: Path) -> None:
    options = [
        "--set",
        "features.random_state=7",
        "--set",
        "features.flush_every_s=0.001",
        "--set",
        "features.batch_size=2",
        "--set",
        "features.after_publishing=keep",
    ]
    known = set((project / ".features").rglob("shard-*.h5"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["pipeline", "extract-features", *options],
        cwd=project,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PATH": path},
    )
    deadline = time.monotonic() + 120
    while len(set((project / ".features").rglob("shard-*.h5")) - known) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    assert "interrupted: what was finished is kept" in errors
    kept = set((project / ".features").rglob("shard-*.h5")) - known
    assert len(kept) >= 3
    resumed = pipeline("extract-features", *options)
    assert resumed.returncode == 0, resumed.stderr
    assert " 0 known already" not in resumed.stdout
    assert all(path.exists() for path in kept)


def test_debug_shows_the_traceback(pipeline: Run) -> None:
    result = pipeline("train-head", "--target", "period", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr

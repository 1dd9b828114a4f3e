"""A decoder that crashes or hangs costs one image: the run goes on and names it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import pandas as pd
import pytest

from stages.clean import decoder
from stages.clean.check_image import CheckedImage
from stages.clean.clean_images import clean_images
from stages.clean.settings import CleanSettings
from stages.core.images.decoding.pool import worker_decoders
from stages.core.records.outputs import adopt
from stages.core.tables.columns import MANIFEST

Save = Callable[..., Path]

# Python runs this in every process that starts with it on its path: real decoders, plugged into Pillow, that
# really dereference a null pointer, are killed, or never return.
BAD_DECODERS = """
import ctypes, os, signal, time
from PIL import Image, ImageFile

class Bad(ImageFile.ImageFile):
    format = "BMP"
    def _open(self):
        self._size, self._mode = (64, 64), "RGB"
        self.tile = []
        self.what = self.fp.read(9)[4:]
    def load(self):
        with open(os.environ["BAD_DECODER_LOG"], "ab") as log:
            log.write(self.what + b" ")
        if self.what == b"crash":
            ctypes.string_at(0)
        if self.what == b"kill!":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == b"exit!":
            os._exit(3)
        while True:
            time.sleep(60)

Image.init()
Image.register_open(Bad.format, Bad, lambda start: start.startswith(b"BAD:"))
"""


@pytest.fixture
def log_of_bad_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BAD_DECODERS)
    log = tmp_path / "log"
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("BAD_DECODER_LOG", str(log))
    leave_decoder()
    yield log
    leave_decoder()


def leave_decoder() -> None:
    """End this process's decoding processes, so that the next one starts in the environment as it is then."""
    worker_decoders().close()
    worker_decoders.cache_clear()


def outcomes(image_root: Path, names: list[str], **settings: object) -> list[tuple[str, str]]:
    answers = decoder.check_batch(image_root, names, CleanSettings(**settings))
    return [(found.reason, found.detail) for found in map(CheckedImage.from_json, answers)]


@pytest.mark.parametrize(("how", "cause"), [("crash", "SIGSEGV"), ("kill!", "SIGKILL"), ("exit!", "exit code 3")])
def test_a_decoder_that_dies_costs_its_image_after_a_second_try(
    image_root: Path, save_picture: Save, log_of_bad_decoders: Path, how: str, cause: str
) -> None:
    save_picture("a.png", 1)
    save_picture("z.png", 2)
    (image_root / "bad.jpg").write_bytes(f"BAD:{how}".encode())
    found = outcomes(image_root, ["a.png", "bad.jpg", "z.png"])
    assert [reason for reason, _ in found] == ["", "decoder_crashed", ""]
    assert cause in found[1][1]
    assert log_of_bad_decoders.read_bytes() == f"{how} {how} ".encode()


def test_a_decoder_that_hangs_is_stopped_once(image_root: Path, save_picture: Save, log_of_bad_decoders: Path) -> None:
    save_picture("z.png", 2)
    (image_root / "bad.jpg").write_bytes(b"BAD:hang!")
    found = outcomes(image_root, ["bad.jpg", "z.png"], timeout_s=2.0)
    assert found == [("decoder_timeout", "not decoded within clean.timeout_s = 2 s"), ("", "")]
    assert log_of_bad_decoders.read_bytes() == b"hang! "


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_the_run_outlives_its_decoders(
    tmp_path: Path, image_root: Path, save_picture: Save, log_of_bad_decoders: Path, backend: str
) -> None:
    names = [save_picture(f"{i:02d}.png", i).name for i in range(40)]
    for name, how in (("05.png", "crash"), ("20.png", "kill!"), ("39.png", "hang!")):
        (image_root / name).write_bytes(f"BAD:{how}".encode())
    pd.DataFrame({"image": names, "style": "x"}).to_csv(tmp_path / "manifest.csv", index=False)
    adopt(tmp_path / "manifest.csv", MANIFEST)
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)  # workers of earlier tests have another environment
    with joblib.parallel_config(backend=backend, n_jobs=2):
        summary = clean_images(
            settings=CleanSettings(timeout_s=5.0), manifest=tmp_path / "manifest.csv", images=image_root,
            **{name: tmp_path / f"{name}.csv" for name in ("clean", "rejected", "conflicts")},
        )  # fmt: skip
    get_reusable_executor().shutdown(wait=True)
    rejected = pd.read_csv(tmp_path / "rejected.csv")
    assert dict(zip(rejected["image"], rejected["reason"], strict=True)) == {
        "05.png": "decoder_crashed",
        "20.png": "decoder_crashed",
        "39.png": "decoder_timeout",
    }
    assert len(pd.read_csv(tmp_path / "clean.csv")) == 37
    assert summary.splitlines()[0].startswith("37 images kept, 3 rejected")


def test_the_decoding_process_ends_with_its_worker(image_root: Path, save_picture: Save) -> None:
    save_picture("a.png", 1)
    leave_decoder()
    outcomes(image_root, ["a.png"])
    [process] = [decoder._process for decoder in worker_decoders()._all]
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    leave_decoder()

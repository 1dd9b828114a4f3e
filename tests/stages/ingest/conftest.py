"""A small collection, and what ingest makes of it in-process."""

import io
from pathlib import Path

import pandas as pd
import pytest

from stages.core.tables.columns import INGEST_PROBLEMS, MANIFEST
from stages.core.tables.csv_files import read_table
from stages.ingest.ingest_labels import ingest_labels
from stages.ingest.settings import DatasetSettings
from tests.conftest import picture


def picture_bytes(seed: int) -> bytes:
    """A small PNG, another for each seed."""
    buffer = io.BytesIO()
    picture(seed, (24, 20)).save(buffer, "PNG")
    return buffer.getvalue()


COLLECTION = {
    "cubism/léger.png": ("cubism", "portrait"),
    "cubism/two.png": ("cubism", "still life"),
    "dada/three.png": ("dada", ""),
}


class Workplace:
    """A folder with images, and what ingest makes of them."""

    def __init__(self, root: Path) -> None:
        self.root, self.images = root, root / "images"
        for seed, name in enumerate(COLLECTION):
            (self.images / name).parent.mkdir(parents=True, exist_ok=True)
            picture(seed, (24, 20)).save(self.images / name)

    def write(self, name: str, text: str, encoding: str = "utf-8") -> str:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(text.encode(encoding))
        return str(self.root / name)

    def ingest(self, source: str, **settings: object) -> pd.DataFrame:
        settings = {"source": source, "images": str(self.images)} | settings
        self.summary = ingest_labels(
            settings=DatasetSettings(**settings), manifest=self.root / "manifest.csv",
            problems=self.root / "problems.csv",
        )  # fmt: skip
        return read_table(self.root / "manifest.csv", MANIFEST)

    def problems(self) -> list[tuple[int, str]]:
        return [(row, problem) for row, problem, _ in self.details()]

    def details(self) -> list[tuple[int, str, str]]:
        """Row, problem and detail of everything that ingest noted."""
        table = read_table(self.root / "problems.csv", INGEST_PROBLEMS)
        return [(int(row), *rest) for row, *rest in table[["row", "problem", "detail"]].to_numpy().tolist()]

    def add(self, *names: str) -> None:
        """Paint one more image per name, exactly as the disk is to have it."""
        for seed, name in enumerate(names, start=100):
            (self.images / name).parent.mkdir(parents=True, exist_ok=True)
            (self.images / name).write_bytes(picture_bytes(seed))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)

"""A decision of a person goes through `dvc repro`: it runs ingest again, and what depends on it."""

import hashlib
from pathlib import Path

import pandas as pd

from tests.end_to_end.conftest import command


def test_a_decision_runs_ingest_again_and_reaches_the_splits(project: Path) -> None:
    review, tables = project / "data/review.csv", [project / f"data/{name}.csv" for name in ("manifest", "splits")]
    assert review.read_text() == "image,sha256,target,decision,label,when\n"
    before = pd.read_csv(tables[1], keep_default_na=False)
    relabelled, bad = before["image"][:2]
    digests = [
        hashlib.sha256((project / "data/demo/images" / image).read_bytes()).hexdigest() for image in (relabelled, bad)
    ]
    with review.open("a", encoding="utf-8") as file:
        file.write(f"{relabelled},{digests[0]},genre,label_wrong,sea piece,\n{bad},{digests[1]},genre,image_bad,,\n")
    ran = command("dvc", "repro", "split", cwd=project).stdout
    assert "Running stage 'ingest'" in ran
    assert "data/review.csv: 1 labels corrected, 1 times image bad" in ran
    for path in tables:
        table = pd.read_csv(path, keep_default_na=False).set_index("image")
        assert table["genre"][relabelled] == "sea piece"
        assert bad not in table.index
    assert command("git", "status", "--porcelain", "data", cwd=project).stdout == " M data/review.csv\n"
    assert "up to date" in command("dvc", "repro", "split", cwd=project).stdout

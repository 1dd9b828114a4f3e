"""A service or a container starts commands without a home folder and without a language: names keep their letters."""

import os
import shutil
from pathlib import Path

import pandas as pd

from tests.conftest import REPOSITORY, picture
from tests.end_to_end.command_server import CommandServer
from tests.end_to_end.conftest import edit_params
from tests.end_to_end.stage_runs import SMALL, TARGET, run_undisturbed

CLASSES = ("Café", "浮世絵")
COMMANDS = (
    "ingest", "clean", "split", "prepare-backbone", "extract-features", f"train-head --target {TARGET}",
    f"evaluate --target {TARGET}", f"find-outliers --target {TARGET}", "report",
)  # fmt: skip


def test_every_command_works_without_a_home_and_in_the_c_locale(tmp_path: Path) -> None:
    names = [f"Élan 漢 {number}.jpg" for number in range(24)]
    project, logs = tmp_path / "project", tmp_path / "logs"
    (project / "images").mkdir(parents=True)
    logs.mkdir()
    for number, name in enumerate(names):
        picture(number, (90, 70)).save(project / "images" / name)
    labels = pd.DataFrame({"image": names, TARGET: [CLASSES[number % 2] for number in range(len(names))]})
    labels.to_csv(project / "labels.csv", index=False)
    shutil.copy(REPOSITORY / "params.yaml", project)
    places = {"dataset.images": "images", "dataset.labels": "labels.csv", "dataset.watch": "labels.csv"}
    edit_params(project, {**SMALL, **places, "train.epochs": 2})
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    with CommandServer(logs, environment=bare) as server:
        for command in COMMANDS:
            run_undisturbed(server, command.split(), project)
        code, answer = server.run(["predict", f"images/{names[0]}"], project)
    assert code == 0, answer
    assert names[0] in answer
    assert any(label in answer for label in CLASSES)
    predictions = pd.read_csv(project / "reports" / TARGET / "predictions.csv")
    assert set(predictions["image"]) == set(names)
    assert set(predictions["y_true"]) == set(CLASSES)
    assert names[0] in (project / "reports" / "index.html").read_text(encoding="utf-8") + (
        project / "reports" / "pages" / f"{TARGET}.html"
    ).read_text(encoding="utf-8")

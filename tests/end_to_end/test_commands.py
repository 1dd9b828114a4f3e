"""The commands work without DVC too, in any folder that has a params.yaml."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY, picture
from tests.end_to_end.conftest import SMALL, command, edit_params

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = [
    "paint-demo", "ingest", "clean", "split", "prepare-backbone", "extract-features", "train-head", "tune", "evaluate",
    "score", "compare", "find-outliers", "report", "review", "predict", "cache",
]  # fmt: skip


def test_help_lists_the_commands_in_the_order_in_which_they_run(tmp_path: Path) -> None:
    lines = command("pipeline", "--help", cwd=tmp_path).stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS
    assert not any(line.endswith("...") for line in lines)


@pytest.mark.parametrize("arguments", [["--help"], ["train-head", "--help"]])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['pipeline', *sys.argv[1:]]\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'sklearn', 'numpy', 'pydantic', 'h5py'} & set(sys.modules)), file=sys.stderr)"
    )
    result = command(sys.executable, "-c", code, *arguments, cwd=tmp_path)
    assert result.stderr.strip() == "[]"


def test_predict_agrees_with_evaluate(pipeline: Run, built: Path) -> None:
    predictions = pd.read_csv(built / "reports" / "style" / "predictions.csv", keep_default_na=False).head(3)
    files = [str(built / "data" / "demo" / "images" / image) for image in predictions["image"]]
    answers = json.loads(pipeline("predict", "--json", "--top", "2", *files).stdout)
    for answer, file, expected in zip(answers, files, predictions.itertuples(), strict=True):
        assert answer["image"] == file
        assert set(answer["targets"]) == {"style", "genre"}
        best, second = answer["targets"]["style"]
        assert best["label"] == expected.y_pred
        assert best["probability"] == pytest.approx(expected.confidence, abs=0.02)
        assert best["probability"] >= second["probability"]


def test_predict_names_the_files_it_cannot_read_and_answers_for_the_others(pipeline: Run, project: Path) -> None:
    picture(3, (120, 90)).save(project / "new.png")
    (project / "page.jpg").write_text("<html>")
    result = pipeline("predict", "missing.jpg", "new.png", "page.jpg", "--target", "genre")
    assert result.returncode == 1
    assert "missing.jpg\n  could not be read: No such file" in result.stdout
    assert "page.jpg\n  could not be read: not_an_image (looks like an HTML page)" in result.stdout
    assert "new.png\n  genre: " in result.stdout
    assert "style" not in result.stdout
    assert "2 of 3 files could not be read" in result.stderr


def test_predict_without_a_head_says_what_to_run(pipeline: Run) -> None:
    result = pipeline("predict", "new.png", "--target", "period")
    assert result.returncode == 1
    assert "run `pipeline train-head --target period` first" in result.stderr


def test_a_csv_collection_in_an_empty_folder_is_a_new_project(tmp_path: Path) -> None:
    """Two labels, one column with a name of its own, a text column that is no target, and paths with accents."""
    images = tmp_path / "photographs"
    rows = ["file,Art Style,title"]
    for index in range(30):
        style = ("warm", "cold")[index % 2]
        image = picture(index, (90, 80))
        tint = image.point([min(255, value + 90) if style == "warm" else value // 2 for value in range(256)] * 3)
        name = f"{style}/médaillon {index}.png"
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        tint.save(images / name)
        rows.append(f"{name},{style},Untitled {index}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    project = tmp_path / "project"
    project.mkdir()
    (project / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    edit_params(
        project,
        {key: value for key, value in SMALL.items() if key != "targets"}
        | {
            "targets": ["style"],
            "dataset.source": "csv",
            "dataset.images": str(images),
            "dataset.labels": "../labels.csv",
            "dataset.watch": "../labels.csv",
            "dataset.image_column": "file",
            "dataset.columns": {"style": "Art Style"},
        },
    )
    for name in COMMANDS[1:6]:
        command("pipeline", name, cwd=project)
    for name in ("train-head", "evaluate", "find-outliers"):
        command("pipeline", name, "--target", "style", cwd=project)
    command("pipeline", "report", cwd=project)
    assert json.loads((project / "reports" / "style" / "metrics.json").read_text())["test"]["n"] == 6
    assert "médaillon" in (project / "reports" / "pages" / "style.html").read_text(encoding="utf-8")
    assert {path.name for path in project.iterdir()} == {
        ".features", ".scan", ".training", "data", "models", "params.yaml", "reports",
    }  # fmt: skip

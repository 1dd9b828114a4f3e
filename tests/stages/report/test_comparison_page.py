"""The page of `pipeline compare` says what was found, shows the pictures that changed, and trusts no name."""

import json
from pathlib import Path

import pandas as pd
import pytest

from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.tables.columns import CHANGES
from stages.core.tables.csv_files import write_table
from stages.report.comparison_chart import draw_differences
from stages.report.comparison_page import write_comparison_page
from stages.report.settings import ReportSettings
from tests.stages.report.conftest import HOSTILE_IMAGE, QUOTED, SCRIPT, Project
from tests.stages.report.html_page import Page


def scores(a: float, b: float, margin: float | None, **more: object) -> dict[str, object]:
    low, high = (None, None) if margin is None else (b - a - margin, b - a + margin)
    return {"a": a, "b": b, "difference": b - a, "low": low, "high": high} | more


def row(name: str, margin: float | None) -> dict[str, object]:
    return {
        "class": name, "images": 9, "groups": 9, "gained": 2, "lost": 1, "p": 0.4, "p_corrected": 0.8,
        "significant": False, "recall": scores(0.5, 0.6, margin), "f1": scores(0.4, 0.45, margin),
    }  # fmt: skip


def write_comparison(project: Project) -> None:
    """What compare writes, with hostile names: two gained pictures, one lost, of the project's own images."""
    splits = pd.read_csv(project.root / "data/splits.csv", dtype=str)
    images = [HOSTILE_IMAGE, *splits["image"].drop(splits.index[splits["image"] == HOSTILE_IMAGE])[:2]]
    changes = pd.DataFrame(
        {
            "target": "artist", "image": images,
            "sha256": splits.set_index("image").loc[images, "sha256"].to_numpy(),
            "change": ["gained", "gained", "lost"], "y_true": [SCRIPT, SCRIPT, QUOTED],
            "a_pred": [QUOTED, QUOTED, QUOTED], "a_confidence": [0.3, 0.4, 0.5],
            "b_pred": [SCRIPT, SCRIPT, SCRIPT], "b_confidence": [0.9, 0.8, 0.7],
        }
    )[CHANGES.names]  # fmt: skip
    verdict = {"p": 0.01, "p_corrected": 0.02, "significant": True}
    artist = {
        "images": 30, "groups": 29, "left_out": [], "accuracy": scores(0.5, 0.6, 0.05, **verdict),
        "f1_macro": scores(0.4, 0.3, 0.05, **verdict), "classes": [row(SCRIPT, 0.1), row(QUOTED, None)],
        "words": ["first sentence", "second sentence", f"third sentence of {SCRIPT}"],
    }  # fmt: skip
    nothing = {"images": 0, "groups": 0, "left_out": [], "words": ["style: no test image in common."]}
    summary = {
        "a": {"name": SCRIPT, "kind": "folder"}, "b": {"name": "main", "kind": "revision 1234567"},
        "settings": {"resamples": 100}, "notes": ["Only A has results of period."],
        "settings_words": "Settings differ.",
        "settings_that_differ": [{"setting": "train.lr", "a": 0.1, "b": None}], "caution": "Seeds differ.",
        "targets": {"artist": artist, "style": nothing},
    }  # fmt: skip
    home = project.root / "reports/comparison"
    with write_outputs(producers.COMPARE, home, settings={}, inputs={}) as outputs:
        outputs.path(home / "comparison.json").write_text(json.dumps(summary), encoding="utf-8")
        write_table(changes, outputs.path(home / "changes.csv"))


def write_page(project: Project, **settings: int) -> Path:
    made = ReportSettings(**{"gallery_size": 6, "thumbnail_px": 64} | settings)
    return write_comparison_page(settings=made, inputs=project.inputs, destination=project.root / "reports", n_jobs=1)


@pytest.fixture
def page(project: Project) -> Page:
    write_comparison(project)
    return Page(write_page(project).read_text(encoding="utf-8"))


def test_it_says_what_was_found_and_what_could_not_be_compared(page: Page) -> None:
    for text in ("first sentence", "style: no test image in common.", "Only A has results of period.", "train.lr"):
        assert text in page.texts
    assert "50.0 60.0 +10.0 95 % interval +0.0 to +20.0" in page.text
    assert len(page.all("svg", role="img")) == 2


def test_pictures_that_changed_sides_are_shown_with_both_predictions(page: Page) -> None:
    assert len(page.all("li", class_="card")) == 3
    shown = [found["aria-label"] for found in page.all("span", class_="thumb")]
    assert HOSTILE_IMAGE in shown
    assert "Gained 2 B is right, A was wrong." in page.text
    assert len(page.all("dd", class_="differs")) == 3


def test_names_of_classes_files_and_runs_are_text(page: Page) -> None:
    assert {SCRIPT, QUOTED, HOSTILE_IMAGE} <= set(page.texts)
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not [found for _, found in page.elements if any(key.startswith("on") for key in found)]


def test_a_long_gallery_is_cut_and_says_of_how_many(project: Project) -> None:
    write_comparison(project)
    assert "Gained first 1 of 2" in Page(write_page(project, gallery_size=1).read_text(encoding="utf-8")).text


def test_classes_of_few_pictures_are_drawn_without_intervals() -> None:
    rows = pd.DataFrame(
        {"name": ["few", ""], "difference": [100.0, -3.0], "low": None, "high": None, "significant": True}
    )
    chart = draw_differences(rows, title="Recall", summary="")
    assert all(text in chart.svg for text in ("few", "(empty)", "100"))


def test_equal_inputs_give_equal_bytes(project: Project) -> None:
    write_comparison(project)
    first = write_page(project).read_bytes()
    assert write_page(project).read_bytes() == first


def test_without_a_comparison_the_command_to_run_is_named(project: Project) -> None:
    with pytest.raises(StageError, match=r"comparison\.json does not exist: run `pipeline compare A B` first"):
        write_page(project)


def test_a_changed_comparison_is_refused(project: Project) -> None:
    write_comparison(project)
    path = project.root / "reports/comparison/changes.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("gained", "losted", 1), encoding="utf-8")
    with pytest.raises(StageError, match=r"changes\.csv is not what `pipeline compare A B` wrote"):
        write_page(project)

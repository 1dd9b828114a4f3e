"""What the pages say and show, read from their HTML."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest

from stages.core.errors import StageError
from stages.core.pages.charts import name_trait
from stages.report.settings import ReportSettings
from tests.chain import adopt_project
from tests.stages.report.conftest import (
    ARABIC,
    BROKEN_IMAGE,
    CLASSES,
    HOSTILE_IMAGE,
    LONG,
    QUOTED,
    SCRIPT,
    WARNING,
    Project,
)
from tests.stages.report.html_page import Page

PAGES = ["index.html", "data.html", "map.html", "pages/style.html", "pages/artist.html"]
SCORED = ["index.html", "pages/style.html", "pages/artist.html"]
LOADING_ATTRIBUTES = {"src", "srcset", "href", "data", "action", "poster", "background", "formaction"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_elsewhere(report: Project, name: str) -> None:
    html = report.text(name)
    for tag, attributes in Page(html).elements:
        for attribute in LOADING_ATTRIBUTES & attributes.keys():
            assert re.fullmatch(r"#.*|data:.*|(\.\./)?[\w/-]+\.html", attributes[attribute]), (tag, attributes)
    assert not re.search(r"@import|url\((?!\"(data:|\$\{source))", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_one_script_and_it_is_ours(report: Project, name: str) -> None:
    page = Page(report.text(name))
    assert len([script for script in page.all("script") if script.get("type") != "application/json"]) == 1
    assert not [attributes for _, attributes in page.elements if any(key.startswith("on") for key in attributes)]
    assert not page.all("img")


def test_hostile_class_names_are_shown_as_text(report: Project) -> None:
    page = Page(report.text("pages/artist.html"))
    for name in (SCRIPT, QUOTED, ARABIC, LONG):
        assert name in page.texts
    assert any(attributes.get("aria-label", "").endswith(f"predicted {SCRIPT}") for attributes in page.all("button"))


def test_hostile_file_names_are_shown_as_text(report: Project) -> None:
    assert HOSTILE_IMAGE in Page(report.text("pages/style.html")).texts
    assert HOSTILE_IMAGE in Page(report.text("data.html")).texts
    assert "bad/<b>empty</b>.jpg" in Page(report.text("data.html")).texts


def test_the_index_links_every_target_and_each_page_links_back(report: Project) -> None:
    for target in CLASSES:
        assert Page(report.text("index.html")).all("a", href=f"pages/{target}.html")
        assert Page(report.text(f"pages/{target}.html")).all("a", href="../index.html")


def test_the_scores_are_next_to_the_baselines_and_the_best_is_marked(report: Project) -> None:
    for name in SCORED:
        page = Page(report.text(name))
        for text in ("LSTM head", "Logistic regression", "Majority class", "0.654", "0.543", "0.321"):
            assert text in page.texts
        assert re.search(
            r"Accuracy 0\.654 ★ \(best\) 95 % interval 0\.554.0\.754 0\.543 95 % interval 0\.443.0\.643 0\.321",
            page.text,
        )


def test_the_paired_comparison_is_told_in_words(report: Project) -> None:
    for name in SCORED:
        assert "the head is better than the baseline." in Page(report.text(name)).texts


def test_the_calibration_error_is_shown_before_and_after_scaling(report: Project) -> None:
    assert "Test 0.123 0.045" in Page(report.text("pages/style.html")).text
    assert len(Page(report.text("pages/style.html")).all("svg", role="img")) == 6  # curves, reliability, bars, odds


def test_traits_are_sentences_and_only_those_beyond_chance(report: Project) -> None:
    text = Page(report.text("pages/style.html")).text
    assert "1 of 2 that were looked at are unlikely to be chance" in text
    assert "pictures in grey <b>are</b> often misclassified 9 images, q = 0.0004" in text
    assert "wide pictures are misclassified as often" not in text
    assert "aspect ratio wide 9 20 % 1.10 0.90\N{EN DASH}1.40 0.5" in text  # in the table of all


def test_clusters_show_their_examples_and_what_marks_them(report: Project) -> None:
    page = Page(report.text("pages/style.html"))
    assert "mostly dark pictures" in page.texts
    assert {picture["title"] for picture in page.all("span", class_="square")} == {HOSTILE_IMAGE, "plain/021.jpg"}


def test_a_page_does_without_the_files_of_the_error_analysis(report: Project) -> None:
    page = Page(report.text("pages/artist.html"))
    for heading in ("What the misclassified have in common", "Clusters of the misclassified", "Reliability"):
        assert heading not in page.texts
    assert not page.all("option", value="margin")
    assert page.all("li", class_="card")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("traits.csv", "property\nx\n"),
        ("outlier_kinds.csv", "kind,title\nx,X\n"),
        ("clusters.csv", "cluster,size,examples,sentence\n0,3,not JSON,x\n"),
    ],
)
def test_a_damaged_file_of_the_error_analysis_is_one_line(project: Project, name: str, content: str) -> None:
    (project.root / "reports/style" / name).write_text(content)
    with pytest.raises(StageError, match=rf"{name} is not what `pipeline find-outliers --target style` wrote"):
        project.write()
    adopt_project(project.root, CLASSES)
    with pytest.raises(StageError, match=rf"{name}.* run `pipeline find-outliers --target style` again"):
        project.write()


def test_the_lowest_log_loss_is_the_best(report: Project) -> None:
    assert re.search(
        r"Log-loss \(lower is better\) 0\.346 ★ \(best\) 0\.457 0\.679", Page(report.text("index.html")).text
    )


@pytest.mark.parametrize("name", SCORED)
def test_the_warning_of_the_backbone_is_shown(report: Project, name: str) -> None:
    page = Page(report.text(name))
    assert page.all("aside", class_="warning")
    assert WARNING in page.text


def test_no_warning_is_shown_where_there_is_none(project: Project) -> None:
    path = project.root / "models/backbone.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warning": None, "weights": "IMAGENET1K_V2"}))
    adopt_project(project.root, CLASSES)
    project.write()
    page = Page(project.text("index.html"))
    assert not page.all("aside")
    assert "IMAGENET1K_V2" in page.text


def test_the_data_page_counts_images_labels_splits_and_duplicates(report: Project) -> None:
    text = Page(report.text("data.html")).text
    assert "42 files were listed, 2 were rejected, 40 are used." in text
    assert "style 3 39 1" in text  # classes, labelled, unlabelled
    assert "val 8 20 % 8" in text
    assert "1 picture exists in more than one file, 2 files in all; 0 are copies to the byte." in text
    assert "not an image 1" in text


def test_the_data_page_names_conflicts_leaks_and_problems_of_the_source(report: Project) -> None:
    page = Page(report.text("data.html"))
    assert {SCRIPT, ARABIC} <= set(page.texts)
    assert "cross attribute, style > artist : 1" in page.text
    assert "dots style 9 2.5" in page.text  # a class that keeps its shares badly
    assert "labels.csv 7 unknown class <b>dot</b>" in page.text


def test_the_data_page_does_without_what_was_not_found(project: Project) -> None:
    for name in ("conflicts.csv", "ingest_problems.csv", "split_report.json"):
        (project.root / "data" / name).unlink()
    project.write()
    assert "Conflicting labels" not in project.text("data.html")
    assert "Leaks" not in Page(project.text("data.html")).texts


def test_every_confusion_cell_opens_as_many_images_as_it_counts(report: Project) -> None:
    page = Page(report.text("pages/style.html"))
    cells = {attributes["id"]: attributes for attributes in page.all("div", class_="cell-images")}
    opened = {attributes["popovertarget"] for attributes in page.all("button") if "popovertarget" in attributes}
    assert opened == set(cells)
    buttons = page.all("button")
    counts = [int(button["aria-label"].partition(":")[0]) for button in buttons if "aria-label" in button]
    confidences = [text for text in page.texts if text.startswith("confidence ")]
    assert sum(counts) == len(confidences) == 8


def test_a_cell_shows_no_more_than_its_share(project: Project) -> None:
    project.write(settings=ReportSettings(cells_total=3, gallery_size=1))
    page = Page(project.text("pages/style.html"))
    assert len([text for text in page.texts if text.startswith("confidence ")]) == 3
    assert "more in predictions.csv" in page.text


def test_each_picture_is_embedded_once(report: Project) -> None:
    pictures = re.findall(r"data:image/webp;base64,[\w+/=]+", report.text("pages/style.html"))
    assert len(pictures) == len(set(pictures)) > 8


def test_an_unreadable_image_gets_a_placeholder(report: Project) -> None:
    page = Page(report.text("pages/style.html"))
    placeholders = page.all("span", class_="missing")
    assert {attributes["title"] for attributes in placeholders} == {BROKEN_IMAGE}
    assert all("cannot be shown" in attributes["aria-label"] for attributes in placeholders)


def test_galleries_show_the_first_of_each_kind(report: Project) -> None:
    page = Page(report.text("pages/style.html"))
    kinds = [attributes["data-kind"] for attributes in page.all("section", class_="gallery")]
    assert kinds == ["suspect_label", "low_confidence", "out_of_distribution", "conflicting_labels"]
    assert len(page.all("li", class_="card")) == 6 + 3 + 4 + 2
    assert "first 6 of 10" in page.text


def test_galleries_have_the_titles_and_explanations_of_the_table_of_kinds(report: Project) -> None:
    page = Page(report.text("pages/style.html"))
    table = pd.read_csv(report.root / "reports/style/outlier_kinds.csv")
    assert set(table["explanation"]) <= set(page.texts)
    titles = [title for title in page.texts if title in set(table["title"])]
    assert titles[-4:] == table["title"].tolist()


def test_without_a_table_of_kinds_a_gallery_is_called_by_the_kinds_name(report: Project) -> None:
    page = Page(report.text("pages/artist.html"))
    kinds = [attributes["data-kind"] for attributes in page.all("section", class_="gallery")]
    assert sorted(kinds) == ["conflicting_labels", "low_confidence", "out_of_distribution", "suspect_label"]
    assert {"Suspect label", "Out of distribution"} <= set(page.texts)


def test_charts_have_a_name_and_their_numbers_as_a_table(report: Project) -> None:
    page = Page(report.text("pages/artist.html"))
    charts = page.all("svg", role="img")
    assert len(charts) == 4
    assert "At the epoch that was kept (3): train 0.600, val 0.600." in charts[0]["aria-label"]
    assert "Numbers of “Loss”" in page.texts


def test_a_head_without_a_log_has_no_curves(project: Project) -> None:
    for path in (project.root / "models/heads/style/log").rglob("*.tsv"):
        path.unlink()
    project.write()
    assert "Learning curves" not in project.text("pages/style.html")


def test_provenance_names_backbone_features_settings_and_versions(report: Project) -> None:
    text = Page(report.text("index.html")).text
    for part in ("ab" * 32, "cd" * 32, "[2, 9, 2048]", "thumbnail_px 64", "torchvision"):
        assert part in text
    assert "train.lr 0.001" in Page(report.text("pages/style.html")).text


def test_the_selfcheck_is_shown_and_written(report: Project) -> None:
    text = Page(report.text("index.html")).text
    assert "near duplicate clean 1 1 in one group with the original" in text
    assert (report.root / "reports/selfcheck.csv").read_text().startswith("stage,fault,planted,found,detail\n")


def test_without_a_key_the_selfcheck_is_an_empty_table(project: Project) -> None:
    project.write(inputs=replace(project.inputs, answer_key=None))
    assert "Planted faults" not in project.text("index.html")
    assert (project.root / "reports/selfcheck.csv").read_text() == "stage,fault,planted,found,detail\n"


def test_equal_inputs_give_equal_bytes(report: Project, project: Project) -> None:
    project.write()
    assert [project.text(name) for name in PAGES] == [report.text(name) for name in PAGES]


def test_nothing_rejected_and_no_outliers_is_no_error(project: Project) -> None:
    for path in (project.root / "data/rejected.csv", project.root / "reports/style/outliers.csv"):
        path.write_text(path.read_text().partition("\n")[0] + "\n")
    adopt_project(project.root, CLASSES)
    project.write()
    assert "No file was rejected." in project.text("data.html")
    assert "None were found." in project.text("pages/style.html")


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("reports/style/metrics.json", "pipeline evaluate --target style"),
        ("reports/style/outliers.csv", "pipeline find-outliers --target style"),
        ("models/heads/artist/head.json", "pipeline train-head --target artist"),
        ("models/backbone.json", "pipeline prepare-backbone"),
        ("data/features/fingerprint.json", "pipeline extract-features"),
        ("data/splits.csv", "pipeline split"),
        ("reports/coordinates.csv", "pipeline report --coordinates"),
    ],
)
def test_a_missing_file_names_the_command_that_writes_it(project: Project, path: str, command: str) -> None:
    (project.root / path).unlink()
    with pytest.raises(StageError, match=re.escape(f"{path} does not exist: run `{command}` first")):
        project.write()


@pytest.mark.parametrize("content", ["", "not JSON", '{"half":'])
def test_a_damaged_file_is_one_line(project: Project, content: str) -> None:
    (project.root / "reports/style/metrics.json").write_text(content)
    with pytest.raises(StageError, match=r"metrics\.json is not what `pipeline evaluate --target style` wrote"):
        project.write()
    adopt_project(project.root, CLASSES)
    with pytest.raises(
        StageError, match=r"metrics\.json is not readable JSON .*: run `pipeline evaluate --target style` again"
    ):
        project.write()


@pytest.mark.parametrize(
    ("divided_by", "level", "name"),
    [
        ("class", "Colour (field)", "class: Colour (field)"),
        ("near_duplicate", "yes", "near duplicate: yes"),
        ("sharpness", "blurriest fifth (0.87 to 146)", "sharpness: blurriest fifth"),
        ("aspect_ratio", "very tall (below 0.5)", "aspect ratio: very tall"),
        ("sharpness within style", "a: b: sharpest fifth (3 to 9)", "a: b, sharpness: sharpest fifth"),
    ],
)
def test_the_chart_names_a_trait_in_a_few_words(divided_by: str, level: str, name: str) -> None:
    assert name_trait(divided_by, level) == name

"""A small, complete set of the other stages' files, with hostile names, and the report written from it.

In: nothing. Out: the fixture `project`, fresh for each test, and `report`, written once for tests that only read.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.core.images.files import ImageFolder
from stages.core.records.artefacts import FEATURE_FILE
from stages.core.records.outputs import adopt
from stages.core.tables.columns import RELIABILITY
from stages.core.tables.csv_files import write_table
from stages.outliers.find_outliers import kind_table
from stages.outliers.kinds import KINDS
from stages.report.inputs import ReportInputs
from stages.report.settings import ReportSettings
from stages.report.write_report import write_report
from tests.chain import adopt_project
from tests.conftest import picture

SCRIPT = "<script>alert(1)</script>"
QUOTED = "O\"Brien & 'Sons'"
ARABIC = "محمد بن علي"
LONG = "L" * 300
CLASSES = {"style": ["dabs", "dots", "ink line"], "artist": sorted([SCRIPT, QUOTED, ARABIC, LONG])}
WARNING = (
    f"The pretrained weights could not be fetched (https://example.org/{'long/' * 20}), so the backbone is random."
)
HOSTILE_IMAGE = 'odd/"><img src=x onerror=alert(2)>.jpg'
BROKEN_IMAGE = "plain/005.jpg"
IMAGES = 40


@dataclass(frozen=True)
class Project:
    """A folder laid out as the pipeline's."""

    root: Path

    @property
    def inputs(self) -> ReportInputs:
        """The files that the report reads."""
        root = self.root
        return ReportInputs(
            images=ImageFolder(root / "images"),
            manifest=root / "data/manifest.csv",
            ingest_problems=root / "data/ingest_problems.csv",
            rejected=root / "data/rejected.csv",
            conflicts=root / "data/conflicts.csv",
            splits=root / "data/splits.csv",
            split_report=root / "data/split_report.json",
            backbone=root / "models/backbone.json",
            features=root / "data/features",
            heads=root / "models/heads",
            results=root / "reports",
            coordinates=root / "reports/coordinates.csv",
            answer_key=root / "data/answer_key.csv",
        )

    def write(self, settings: ReportSettings | None = None, inputs: ReportInputs | None = None) -> Path:
        """Write the report of it."""
        return write_report(
            settings=settings or ReportSettings(gallery_size=6, thumbnail_px=64),
            inputs=inputs or self.inputs,
            targets=list(CLASSES),
            destination=self.root / "reports",
            n_jobs=2,
        )

    def text(self, name: str) -> str:
        """A written page."""
        return (self.root / "reports" / name).read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A written report; tests must not change its files."""
    made = make_project(tmp_path_factory.mktemp("report"))
    made.write()
    return made


def make_project(root: Path) -> Project:
    rng = np.random.default_rng(0)
    splits = _splits(root / "images")
    rejected = pd.DataFrame(
        [("bad/<b>empty</b>.jpg", "empty", "0 bytes"), ("bad/page.jpg", "not_an_image", "looks like an HTML page")],
        columns=["image", "reason", "detail"],
    )
    _csv(splits, root / "data/splits.csv")
    _csv(rejected, root / "data/rejected.csv")
    listed = pd.concat([splits[["image", *CLASSES]], rejected[["image"]]]).fillna("")
    _csv(listed, root / "data/manifest.csv")
    _json(
        {"arch": "resnet101", "weights": "random", "requested": "auto", "warning": WARNING, "digest": "ab" * 32},
        root / "models/backbone.json",
    )
    _json(
        {"fingerprint": "cd" * 32, "description": {"tokens": 9}, "shape": [2, 9, 2048], "images": IMAGES},
        root / "data/features/fingerprint.json",
    )
    for target, classes in CLASSES.items():
        _write_head(root / "models/heads" / target, target, classes)
        _write_results(root / "reports" / target, splits, target, classes, rng)
    _csv(_answer_key(splits), root / "data/answer_key.csv")
    _write_findings(splits, root / "data")
    _write_error_analysis(
        root / "reports/style", pd.read_csv(root / "reports/style/predictions.csv", keep_default_na=False)
    )
    places = rng.random((IMAGES, 2))
    _csv(splits[["sha256"]].assign(x=places[:, 0], y=places[:, 1]), root / "reports/coordinates.csv")
    _write_files_between(root, splits)
    adopt_project(root, CLASSES)
    return Project(root)


def _write_findings(splits: pd.DataFrame, data: Path) -> None:
    """What ingest, clean and split found beside their main tables."""
    image = splits["image"]
    conflicts = [("artist", "g10", image[10], SCRIPT), ("artist", "g10", image[11], ARABIC)]
    _csv(pd.DataFrame(conflicts, columns=["attribute", "group", "image", "label"]), data / "conflicts.csv")
    problems = [("labels.csv", 7, "unknown class", "<b>dot</b>")]
    _csv(pd.DataFrame(problems, columns=["file", "row", "problem", "detail"]), data / "ingest_problems.csv")
    small = {"attribute": "style", "class": "dots", "images": 9, "deviation": 2.5, "allowed": 1.0}
    leaks = {"cross_attribute": {"style > artist": [HOSTILE_IMAGE]}, "duplicate_groups": {"style": [["a", "b"]]}}
    settings = {"source": "own", "method": "stratified", "random_state": 0}
    _json({"groups": 39, "settings": settings, "classes": [small], "leaks": leaks}, data / "split_report.json")


def _write_error_analysis(folder: Path, predictions: pd.DataFrame) -> None:
    """The files that only one of the targets has: its error analysis, and the texts of its kinds of outlier."""
    write_table(kind_table(KINDS), folder / "outlier_kinds.csv")
    right = predictions["y_true"] == predictions["y_pred"]
    p_true = predictions["confidence"].where(right, (1 - predictions["confidence"]) / 2)
    _csv(predictions.assign(p_true=p_true, cluster=""), folder / "out_of_sample.csv")
    traits = [
        ("greyscale", "yes", 9, 0.5, 3.1, 2.4, 3.9, 0.0001, 0.0004, "pictures in grey <b>are</b> often misclassified"),
        ("aspect_ratio", "wide", 9, 0.2, 1.1, 0.9, 1.4, 0.4, 0.5, "wide pictures are misclassified as often"),
    ]
    columns = ["property", "level", "n", "misclassified_share", "odds_ratio", "ci_low", "ci_high", "p_value", "q_value"]
    _csv(pd.DataFrame(traits, columns=[*columns, "sentence"]), folder / "traits.csv")
    clusters = [("0", 3, json.dumps([HOSTILE_IMAGE, "plain/021.jpg"]), "mostly dark pictures")]
    _csv(pd.DataFrame(clusters, columns=["cluster", "size", "examples", "sentence"]), folder / "clusters.csv")
    bins = [
        ("test", stage, low, low + 0.2, n, low + 0.1, low)
        for stage in ("before", "after")
        for n, low in ((5, 0.3), (3, 0.7))
    ]
    _csv(pd.DataFrame(bins, columns=RELIABILITY.names), folder / "reliability.csv")
    outliers = pd.read_csv(folder / "outliers.csv", keep_default_na=False)
    steps = np.linspace(0.9, 0.1, len(outliers))
    _csv(outliers.assign(margin=steps, entropy=1 - steps), folder / "outliers.csv")


def _write_files_between(root: Path, splits: pd.DataFrame) -> None:
    """Write the files that the report does not read, but whose records link those that it reads."""
    _csv(splits.drop(columns="split"), root / "data/clean.csv")
    (root / "data/features/features.h5").write_bytes(b"features")
    adopt(root / "data/features/features.h5", FEATURE_FILE)
    for target in CLASSES:
        (root / "models/heads" / target / "head.safetensors").write_bytes(b"weights")


def _splits(images: Path) -> pd.DataFrame:
    rows = []
    for i in range(IMAGES):
        image = HOSTILE_IMAGE if i == 4 else f"plain/{i:03}.jpg"
        path = images / image
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(path)
        labels = {target: classes[i % len(classes)] for target, classes in CLASSES.items()}
        split = ("train", "train", "train", "val", "test")[i % 5]
        rows.append({"image": image, **labels, "group": f"g{i}", "split": split})
    (images / BROKEN_IMAGE).write_bytes(b"\xff\xd8 cut short")
    rows[11] |= {"group": "g10", "split": rows[10]["split"]}
    rows[0]["style"] = ""
    for row in rows:
        row["sha256"] = hashlib.sha256((images / row["image"]).read_bytes()).hexdigest()
    return pd.DataFrame(rows).assign(width=80, height=64, mode="RGB")


def _write_head(folder: Path, target: str, classes: list[str]) -> None:
    settings = {"train": {"lr": 0.001}}
    _json(
        {"target": target, "classes": classes, "epoch": 3, "temperature": 1.3, "settings": settings},
        folder / "head.json",
    )
    for split in ("train", "val"):
        for metric in ("loss", "accuracy", "f1_macro"):
            path = folder / f"log/plots/metrics/{split}/{metric}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame({"step": range(5), metric: np.linspace(0.9, 0.3, 5)}).to_csv(path, sep="\t", index=False)


def _write_results(
    folder: Path, splits: pd.DataFrame, target: str, classes: list[str], rng: np.random.Generator
) -> None:
    y_true, y_pred = splits[target], pd.Series(rng.choice(classes, len(splits)))
    predictions = splits[["image", "sha256", "split"]].assign(
        y_true=y_true, y_pred=y_pred, confidence=rng.random(len(splits))
    )
    test = predictions[predictions["split"] == "test"]
    confusion = pd.crosstab(test["y_true"], test["y_pred"]).reindex(index=classes, columns=classes, fill_value=0)
    _csv(predictions, folder / "predictions.csv")
    _csv(confusion.rename_axis("y_true").reset_index(), folder / "confusion.csv")
    f1 = np.linspace(0.2, 0.8, len(classes))
    _csv(
        pd.DataFrame({"class": classes, "precision": f1, "recall": f1, "f1": f1, "support": 2, "train_n": 8}),
        folder / "per_class.csv",
    )
    _json(_metrics(), folder / "metrics.json")
    _csv(_outliers(predictions), folder / "outliers.csv")


def _metrics() -> dict[str, object]:
    def scores(accuracy: float) -> dict[str, float]:
        parts = dict.fromkeys(("f1_macro", "f1_weighted", "top3_accuracy"), accuracy)
        interval = {"accuracy_low": accuracy - 0.1, "accuracy_high": accuracy + 0.1}
        return {"accuracy": accuracy, **interval, **parts, "log_loss": 1 - accuracy, "ece": 0.05, "n": 8}

    baselines = {"majority": {"test": scores(0.321)}, "logistic_regression": {"test": scores(0.543), "C": 0.01}}
    splits = {"test": scores(0.654), "val": scores(0.7), "train": scores(0.9)}
    errors = {"ece_before": 0.123, "ece_after": 0.045}
    calibration = {"temperature": 1.3, "val": errors, "test": errors}
    comparison = {"test": {"words": "the head is better than the baseline."}}
    return splits | {"baselines": baselines, "calibration": calibration, "comparison": comparison}


def _outliers(predictions: pd.DataFrame) -> pd.DataFrame:
    """Images 0 to 9 are suspects in that order, 4 to 7 are out of distribution, 10 and 11 conflict."""
    kinds = {
        "low_confidence": range(3, 6),
        "suspect_label": range(10),
        "out_of_distribution": range(4, 8),
        "conflicting_labels": (10, 11),
    }
    neighbours = json.dumps([HOSTILE_IMAGE, "plain/020.jpg", BROKEN_IMAGE])
    rows = [
        predictions.loc[i, ["image", "y_true", "y_pred", "confidence"]].to_dict()
        | {
            "kind": kind,
            "rank": rank,
            "score": 1 / rank,
            "suggested": "",
            "reason": "because <b>so</b>",
            "neighbours": neighbours,
        }
        for kind, images in kinds.items()
        for rank, i in enumerate(images, start=1)
    ]
    columns = ["image", "kind", "rank", "score", "y_true", "y_pred", "confidence", "suggested", "reason", "neighbours"]
    return pd.DataFrame(rows)[columns]


def _answer_key(splits: pd.DataFrame) -> pd.DataFrame:
    image = splits["image"]
    rows = [
        ("bad/<b>empty</b>.jpg", "broken", "", "empty", ""),
        ("bad/page.jpg", "broken", "", "truncated", ""),
        (image[11], "near_duplicate", "", image[10], ""),
        (image[1], "wrong_label", "style", "dabs", ""),
        (image[9], "wrong_label", "style", "dabs", ""),
        (image[4], "stranger", "", "", ""),
    ]
    return pd.DataFrame(rows, columns=["image", "fault", "attribute", "truth", "detail"])


def _csv(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def _json(content: dict[str, object], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")

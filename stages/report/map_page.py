"""The map of the collection: every image at its place on a plane, to pan, zoom and colour by label, score or split.

In: coordinates, the splits, and per target the predictions and outliers. Out: `reports/map.html`. This module packs the
data; `templates/map*.js` draw them.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cache.atomic import write_text
from stages.core.pages.render import render
from stages.core.pages.thumbnails import Thumbnail, make_thumbnails
from stages.core.tables.columns import COORDINATES, PREDICTIONS, SPLIT_IMAGES, SPLITS
from stages.core.tables.csv_files import read_table, with_numbers
from stages.core.tables.outliers import read_outliers
from stages.report.error_analysis import read_out_of_sample
from stages.report.inputs import ReportInputs, bind_map, bind_target, read_digests
from stages.report.settings import TEMPLATES, ReportSettings

NO_CLASS = 65535
# Style, script and text of the page, and the quotes and commas of its data.
FRAME_BYTES = 400_000
# With more points, names and numbers alone would exceed the page's budget.
MOST_POINTS = 150_000


@dataclass(frozen=True)
class Points:
    """The images on the map: `table` has image, split, x and y; `left_out` counts the images that have no point."""

    table: pd.DataFrame
    left_out: int


@dataclass(frozen=True)
class TargetLayer:
    """One target's colours by row: class indices (`NO_CLASS` for unlabelled images) and an outlier score, 0 to 1."""

    name: str
    classes: list[str]
    true: np.ndarray
    predicted: np.ndarray
    score: np.ndarray
    out_of_sample: bool

    def pack(self) -> dict[str, Any]:
        """Pack for JSON: numbers as base64 of little-endian integers, scores in 255 steps."""
        return {
            "name": self.name,
            "classes": self.classes,
            "true": _base64(self.true.astype("<u2")),
            "predicted": _base64(self.predicted.astype("<u2")),
            "score": _base64(np.round(self.score * 255).astype("u1")),
        }


def write_map(
    *, settings: ReportSettings, inputs: ReportInputs, targets: Sequence[str], destination: Path, n_jobs: int = -1
) -> Path:
    """Write `destination/map.html`; parameters and errors as in `write_report`."""
    bind_map(inputs)
    for target in targets:
        bind_target(target, inputs)
    first = rank_images({target: read_outliers(target, inputs.results) for target in targets})
    points = thin_out(read_places(inputs.splits, inputs.coordinates), first, MOST_POINTS)
    layers = [make_layer(points.table, target, inputs.results) for target in targets]
    data = pack_points(points.table, layers)
    chosen = choose_spread(points.table["image"].tolist(), first, settings.map_thumbnails)
    sizes = dict.fromkeys(chosen, settings.map_thumbnail_px)
    thumbnails = make_thumbnails(inputs.images, sizes, digests=read_digests(inputs), n_jobs=n_jobs)
    budget = settings.map_mib * 2**20 - FRAME_BYTES - sum(len(str(part)) for part in _list_long_texts(data))
    pictures, shown = pack_pictures(points.table["image"], thumbnails, budget)
    html = render(
        "map.html",
        folder=TEMPLATES,
        script=("map_points.js", "map.js"),
        target="",
        page="map",
        targets=targets,
        root="",
        thumbnails={},
        data=data | {"pictures": pictures},
        layers=layers,
        points=len(points.table),
        left_out=points.left_out,
        shown=shown,
    )
    page = destination / "map.html"
    write_text(page, html)
    return page


def read_places(splits: Path, coordinates: Path) -> pd.DataFrame:
    """Join every image with its place; images without features are left out."""
    table = read_table(splits, SPLIT_IMAGES, columns=["image", "sha256", "split"])
    places = read_table(coordinates, COORDINATES)
    places = with_numbers(places, COORDINATES.numbers).drop_duplicates("sha256")
    return table.drop(columns=["x", "y"], errors="ignore").merge(places[["sha256", "x", "y"]], on="sha256")


def rank_images(outliers: dict[str, pd.DataFrame]) -> list[str]:
    """Rank the outliers of all targets and kinds: the first of each, then the second of each, and so on."""
    tables = [table[["rank", "image"]] for table in outliers.values()]
    if not tables:
        return []
    images: list[str] = pd.concat(tables).sort_values("rank", kind="stable")["image"].drop_duplicates().tolist()
    return images


def choose_spread(images: Sequence[str], first: Sequence[str], most: int) -> list[str]:
    """Choose at most `most` images: at most half from `first`, then an even spread over the others in their order."""
    if len(images) <= most:
        known = set(images)
        ahead = [image for image in first if image in known]
        return list(dict.fromkeys([*ahead, *images]))
    known = set(images)
    chosen = [image for image in first if image in known][: most // 2]
    rest = [image for image in images if image not in set(chosen)]
    places = np.linspace(0, len(rest) - 1, most - len(chosen)).round().astype(int)
    # In random order, so that the pictures that a byte budget cuts off are spread evenly.
    return chosen + [rest[place] for place in np.random.default_rng(0).permutation(places)]


def thin_out(table: pd.DataFrame, first: Sequence[str], most: int) -> Points:
    """Keep at most `most` points: outliers, and an even spread of the others."""
    if len(table) <= most:
        return Points(table.reset_index(drop=True), 0)
    kept = set(choose_spread(table["image"].tolist(), first, most))
    chosen = table[table["image"].isin(kept)]
    return Points(chosen.reset_index(drop=True), len(table) - len(chosen))


def make_layer(table: pd.DataFrame, target: str, results: Path) -> TargetLayer:
    """Make one target's layer of classes and outlier scores.

    The score is one minus the probability of the image's label, by a model that has not seen the image. Without
    `out_of_sample.csv` it comes from evaluate's predictions: the confidence of a wrong prediction, or one minus the
    confidence of a correct one.
    """
    out_of_sample = read_out_of_sample(target, results)
    if out_of_sample is None:
        found = read_table(results / target / "predictions.csv", PREDICTIONS, target=target)
        found = with_numbers(found, PREDICTIONS.numbers)
        right = (found["y_pred"] == found["y_true"]) | (found["y_true"] == "")
        found = found.assign(score=np.where(right, 1 - found["confidence"], found["confidence"]))
    else:
        p_label = out_of_sample["p_true"].where(out_of_sample["y_true"] != "", out_of_sample["confidence"])
        found = out_of_sample.assign(score=1 - p_label)
    found = found.drop_duplicates("image").set_index("image").reindex(table["image"])
    names = pd.concat([found["y_true"], found["y_pred"]]).dropna()
    classes = sorted(set(names) - {""})
    return TargetLayer(
        name=target,
        classes=classes,
        true=_indices(found["y_true"], classes),
        predicted=_indices(found["y_pred"], classes),
        score=found["score"].fillna(0).clip(0, 1).to_numpy(),
        out_of_sample=out_of_sample is not None,
    )


def pack_points(table: pd.DataFrame, layers: Sequence[TargetLayer]) -> dict[str, Any]:
    """Pack what the script reads, without pictures; places become 16-bit integers."""
    places = np.round(table[["x", "y"]].to_numpy().clip(0, 1) * 65535).astype("<u2")
    return {
        "images": table["image"].tolist(),
        "places": _base64(places),
        "splits": list(SPLITS),
        "split": _base64(_indices(table["split"], list(SPLITS)).clip(max=255).astype("u1")),
        "targets": [layer.pack() for layer in layers],
    }


def pack_pictures(images: pd.Series, thumbnails: dict[str, Thumbnail], budget: int) -> tuple[dict[str, Any], int]:
    """Pack pictures with their rows, in the order given, up to `budget` bytes; return them and their number."""
    rows = dict(zip(images, range(len(images)), strict=True))
    found: dict[str, Any] = {"row": [], "webp": []}
    for image, thumbnail in thumbnails.items():
        if not thumbnail.webp:
            continue
        text = base64.b64encode(thumbnail.webp).decode("ascii")
        budget -= len(text) + 12
        if budget < 0:
            break
        found["row"].append(rows[image])
        found["webp"].append(text)
    return found, len(found["row"])


def _indices(names: pd.Series, classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    indices: np.ndarray = names.map(numbers).fillna(NO_CLASS).to_numpy(dtype=np.int64)
    return indices


def _base64(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _list_long_texts(data: dict[str, Any]) -> list[Any]:
    """List the long texts of the page's data, to count its bytes."""
    layers = [part for target in data["targets"] for part in (target["true"], target["predicted"], target["score"])]
    # JSON escapes what is not ASCII, six bytes a character at most.
    return [data["places"], data["split"], *layers, *(ascii(image) for image in data["images"])]

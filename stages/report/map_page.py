"""The map of the collection: every image at its place on a plane, to pan, zoom and colour by what is known of it.

In: coordinates, the splits, and per target the predictions and outliers. Out: `reports/map.html`. Drawing and moving
is done by `templates/map*.js`; what it reads is packed here.
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
from stages.report.outlier_study import read_out_of_sample
from stages.report.settings import TEMPLATES, ReportSettings

NO_CLASS = 65535
# Style, script and text of the page, and the quotes and commas of its data.
FRAME_BYTES = 400_000
# Points beyond this would make the page's names and numbers alone outgrow its budget.
MOST_POINTS = 150_000


@dataclass(frozen=True)
class Points:
    """What the map knows of the images, by row: `table` has image, split, x and y; `left_out` counts the others."""

    table: pd.DataFrame
    left_out: int


@dataclass(frozen=True)
class TargetLayer:
    """One target's colours: class indices (`NO_CLASS` where there is none) and an outlier score from 0 to 1 by row."""

    name: str
    classes: list[str]
    true: np.ndarray
    predicted: np.ndarray
    score: np.ndarray
    out_of_sample: bool

    def packed(self) -> dict[str, Any]:
        """As JSON holds it: numbers as base64 of little-endian integers, scores in 255 steps."""
        return {
            "name": self.name,
            "classes": self.classes,
            "true": _base64(self.true.astype("<u2")),
            "predicted": _base64(self.predicted.astype("<u2")),
            "score": _base64(np.round(self.score * 255).astype("u1")),
        }


def write_map(
    *,
    settings: ReportSettings,
    targets: list[str],
    images: Path,
    splits: Path,
    coordinates: Path,
    results: Path,
    destination: Path,
    n_jobs: int = -1,
) -> Path:
    """Write `destination/map.html`.

    Parameters
    ----------
    settings
        How many pictures the page holds, how large, and how many bytes it may have.
    targets
        The label columns that have a head.
    images
        The image root.
    splits
        The table of split.
    coordinates
        The table of `write_coordinates`.
    results
        Folder with what evaluate and find-outliers wrote per target.
    destination
        Folder of the page.
    n_jobs
        Threads that make thumbnails.

    Raises
    ------
    StageError
        If a file is missing; the message names the command that writes it.
    """
    outliers = {target: read_outliers(target, results) for target in targets}
    first = ranked_images(outliers)
    points = placed(read_splits(splits, coordinates), first, MOST_POINTS)
    layers = [target_layer(points.table, target, results) for target in targets]
    data = packed(points.table, layers)
    chosen = spread(points.table["image"].tolist(), first, settings.map_thumbnails)
    thumbnails = make_thumbnails(images, dict.fromkeys(chosen, settings.map_thumbnail_px), n_jobs=n_jobs)
    budget = settings.map_mib * 2**20 - FRAME_BYTES - sum(len(str(part)) for part in _parts(data))
    pictures, shown = packed_pictures(points.table["image"], thumbnails, budget)
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


def read_splits(splits: Path, coordinates: Path) -> pd.DataFrame:
    """Join every image with its place; images without features have none and are left out."""
    table = read_table(splits, SPLIT_IMAGES, columns=["image", "sha256", "split"])
    places = read_table(coordinates, COORDINATES)
    places = with_numbers(places, COORDINATES.numbers).drop_duplicates("sha256")
    return table.drop(columns=["x", "y"], errors="ignore").merge(places[["sha256", "x", "y"]], on="sha256")


def ranked_images(outliers: dict[str, pd.DataFrame]) -> list[str]:
    """All outliers of all targets and kinds, the first of each before the second of any."""
    tables = [table[["rank", "image"]] for table in outliers.values()]
    if not tables:
        return []
    return pd.concat(tables).sort_values("rank", kind="stable")["image"].drop_duplicates().tolist()


def spread(images: Sequence[str], first: Sequence[str], most: int) -> list[str]:
    """Choose images in order of importance: a half at most from `first`, then evenly over the rest, by their order."""
    if len(images) <= most:
        known = set(images)
        ahead = [image for image in first if image in known]
        return list(dict.fromkeys([*ahead, *images]))
    known = set(images)
    chosen = [image for image in first if image in known][: most // 2]
    rest = [image for image in images if image not in set(chosen)]
    places = np.linspace(0, len(rest) - 1, most - len(chosen)).round().astype(int)
    # Visited in large steps, so that what a byte budget cuts off is missing everywhere a little.
    return chosen + [rest[place] for place in np.random.default_rng(0).permutation(places)]


def placed(table: pd.DataFrame, first: Sequence[str], most: int) -> Points:
    """Keep at most so many points: the outliers and an even spread."""
    if len(table) <= most:
        return Points(table.reset_index(drop=True), 0)
    kept = set(spread(table["image"].tolist(), first, most))
    chosen = table[table["image"].isin(kept)]
    return Points(chosen.reset_index(drop=True), len(table) - len(chosen))


def target_layer(table: pd.DataFrame, target: str, results: Path) -> TargetLayer:
    """Classes and outlier scores of one target.

    The score is the improbability of the image's own label by a head that had not seen the image; without the study's
    `out_of_sample.csv`, it is what evaluate's predictions allow to say of it.
    """
    study = read_out_of_sample(target, results)
    if study is None:
        found = read_table(results / target / "predictions.csv", PREDICTIONS, target=target)
        found = with_numbers(found, PREDICTIONS.numbers)
        right = (found["y_pred"] == found["y_true"]) | (found["y_true"] == "")
        found = found.assign(score=np.where(right, 1 - found["confidence"], found["confidence"]))
    else:
        own = study["p_true"].where(study["y_true"] != "", study["confidence"])
        found = study.assign(score=1 - own)
    found = found.drop_duplicates("image").set_index("image").reindex(table["image"])
    names = pd.concat([found["y_true"], found["y_pred"]]).dropna()
    classes = sorted(set(names) - {""})
    return TargetLayer(
        name=target,
        classes=classes,
        true=_indices(found["y_true"], classes),
        predicted=_indices(found["y_pred"], classes),
        score=found["score"].fillna(0).clip(0, 1).to_numpy(),
        out_of_sample=study is not None,
    )


def packed(table: pd.DataFrame, layers: Sequence[TargetLayer]) -> dict[str, Any]:
    """What the script reads, without pictures: places as 16-bit integers."""
    places = np.round(table[["x", "y"]].to_numpy().clip(0, 1) * 65535).astype("<u2")
    return {
        "images": table["image"].tolist(),
        "places": _base64(places),
        "splits": list(SPLITS),
        "split": _base64(_indices(table["split"], list(SPLITS)).clip(max=255).astype("u1")),
        "targets": [layer.packed() for layer in layers],
    }


def packed_pictures(images: pd.Series, thumbnails: dict[str, Thumbnail], budget: int) -> tuple[dict[str, Any], int]:
    """Pictures by row, in order of importance until `budget` bytes are spent, and how many there are."""
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
    return names.map(numbers).fillna(NO_CLASS).to_numpy(dtype=np.int64)


def _base64(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _parts(data: dict[str, Any]) -> list[Any]:
    """The long texts of the page's data, to count its bytes."""
    layers = [part for target in data["targets"] for part in (target["true"], target["predicted"], target["score"])]
    # JSON escapes what is not ASCII, six bytes a character at most.
    return [data["places"], data["split"], *layers, *(ascii(image) for image in data["images"])]

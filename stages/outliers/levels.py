"""Divide the images by what they are: label, shape, size, colour, copies, each with a few levels.

In: the table of splits, one target's labels, measures of the pictures. Out: a `Property` per division: every image's
level, and how a person says it. What the levels have to do with mistakes is left to `traits` and `clusters`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.core.features.labelled import UNLABELLED, LabelledFeatures
from stages.core.tables.columns import label_columns

UNKNOWN = -1
PARTS = 5
# Pictures whose pixels nearly all have less chroma than this (of 255) are grey to the eye.
GREY_CHROMA = 16
# A class is small if it has less than this share of an average class's images.
SMALL_CLASS = 0.5
SHAPES = (0.5, 0.8, 1.25, 2.0)
SHAPE_NAMES = (
    "very tall (below 0.5)",
    "tall (0.5 to 0.8)",
    "nearly square (0.8 to 1.25)",
    "wide (1.25 to 2)",
    "very wide (2 and above)",
)
# What the lowest and the highest part of a number are called.
ENDS = {
    "resolution": ("smallest", "largest"),
    "brightness": ("darkest", "brightest"),
    "saturation": ("palest", "most colourful"),
    "sharpness": ("blurriest", "sharpest"),
    "year": ("earliest", "latest"),
}


@dataclass(frozen=True)
class Property:
    """One way to divide the images.

    Attributes
    ----------
    name
        As in traits.csv.
    levels
        Names of the levels.
    phrases
        The same as the subject of a sentence, `Greyscale images`.
    codes
        Shape `(n,)`: every image's level, an index; `UNKNOWN` where it has none.
    shown
        Indices of the levels worth a line; of two that mirror each other, one.
    """

    name: str
    levels: list[str]
    phrases: list[str]
    codes: np.ndarray
    shown: list[int]


def divide(data: LabelledFeatures, measures: pd.DataFrame | None) -> list[Property]:
    """Divide the images in every way that the data allow; ways in which all are alike are left out.

    Parameters
    ----------
    data
        The table's other label columns, `width`, `height`, `group` and, where there is one, `year`.
    measures
        Of `properties.measure_images`, or None.
    """
    found = [
        _by_class(data),
        _small_class(data),
        *_other_labels(data),
        *_by_year(data),
        *_by_size(data.table),
        _yes("near_duplicate", data.table["group"].duplicated(keep=False), "Images with a duplicate in the collection"),
    ]
    if measures is not None:
        grey = (measures["chroma"] < GREY_CHROMA).where(measures["chroma"].notna())
        found.append(_yes("greyscale", grey, "Images in grey"))
        found += [_parts(name, measures[name]) for name in ("brightness", "saturation", "sharpness")]
    return [way for way in found if len(np.unique(way.codes[way.codes != UNKNOWN])) > 1]


def _by_class(data: LabelledFeatures) -> Property:
    phrases = [f"Images labelled {name}" for name in data.classes]
    return Property("class", data.classes, phrases, data.labels.copy(), list(range(len(data.classes))))


def _small_class(data: LabelledFeatures) -> Property:
    labelled = data.labels != UNLABELLED
    sizes = np.bincount(data.labels[labelled], minlength=len(data.classes))
    limit = SMALL_CLASS * sizes.mean()
    small = pd.Series((sizes < limit)[data.labels]).where(labelled)
    return _yes("small_class", small, f"Images of small classes (fewer than {np.ceil(limit):.0f} images)")


def _other_labels(data: LabelledFeatures) -> Iterator[Property]:
    for column in label_columns(data.table.columns):
        if column in (data.target, "year"):
            continue
        values = data.table[column]
        codes, names = pd.factorize(values.where(values != ""), sort=True)
        phrases = [f"Images with {column} {name}" for name in names]
        yield Property(column, list(names), phrases, codes, list(range(len(names))))


def _by_year(data: LabelledFeatures) -> Iterator[Property]:
    if "year" in data.table.columns and data.target != "year":
        # Years come as 1889, 1889.0, `c. 1889` or `1889-90`.
        years = data.table["year"].str.extract(r"(\d{3,4})(?!\d)", expand=False)
        yield _parts("year", pd.to_numeric(years, errors="coerce"))


def _by_size(table: pd.DataFrame) -> Iterator[Property]:
    width, height = (pd.to_numeric(table[side], errors="coerce") for side in ("width", "height"))
    known = ((width > 0) & (height > 0)).to_numpy()
    ratios = np.where(known, width / height.where(known), 1.0)
    shapes = np.where(known, np.searchsorted(SHAPES, ratios, side="right"), UNKNOWN)
    phrases = [f"{name[0].upper()}{name[1:].replace(' (', ' images (width to height ', 1)}" for name in SHAPE_NAMES]
    yield Property("aspect_ratio", list(SHAPE_NAMES), phrases, shapes, list(range(len(SHAPE_NAMES))))
    yield _parts("resolution", (width * height / 1e6).where(known), unit=" megapixels")


def _yes(name: str, values: pd.Series, phrase: str) -> Property:
    """A property that an image has or has not; NaN where nobody knows."""
    codes = np.where(values.isna(), UNKNOWN, values.fillna(False).astype(bool).astype(int))
    return Property(name, ["no", "yes"], ["Other images", phrase], codes, [1])


def _parts(name: str, values: pd.Series, unit: str = "") -> Property:
    """Cut a number into fifths of the images; fewer parts where many share a value."""
    known = values.dropna()
    edges = np.unique(known.quantile(np.arange(1, PARTS) / PARTS)) if len(known) else np.empty(0)
    codes = np.where(values.isna(), UNKNOWN, np.searchsorted(edges, values.to_numpy(dtype=float), side="left"))
    used, codes[codes != UNKNOWN] = np.unique(codes[codes != UNKNOWN], return_inverse=True)
    part = "fifth" if len(used) == PARTS else "part"
    lowest, highest = ENDS[name]
    levels = []
    for place in range(len(used)):
        inside = values[codes == place]
        called = {0: lowest, len(used) - 1: highest}.get(place, f"{('second', 'third', 'fourth')[min(place, 3) - 1]}")
        levels.append(f"{called} {part} ({_number(inside.min(), name)} to {_number(inside.max(), name)}{unit})")
    phrases = [
        f"Images of the {level}"
        if place in (0, len(used) - 1)
        else f"Images of the {level.replace(' (', f' by {name} (', 1)}"
        for place, level in enumerate(levels)
    ]
    return Property(name, levels, phrases, codes, list(range(len(levels))))


def _number(value: float, name: str) -> str:
    return f"{value:.0f}" if name == "year" or value >= 100 else f"{value:.2g}"

"""How the images are divided, and how a person says it."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from stages.core.features.labelled import LabelledFeatures
from stages.outliers.levels import Property, divide

Labelled = Callable[..., LabelledFeatures]
GREY = [3.0, 200.0, np.nan, 90.0]


def named(properties: list[Property]) -> dict[str, Property]:
    return {way.name: way for way in properties}


def levels(way: Property) -> list[str]:
    return [way.levels[code] if code >= 0 else "" for code in way.codes]


def phrases(way: Property) -> list[str]:
    return [way.phrases[code] if code >= 0 else "" for code in way.codes]


@pytest.fixture
def ways(labelled: Labelled) -> dict[str, Property]:
    """Forty images of which everything is known."""
    ramp = np.arange(40.0)
    data = labelled(
        ["dabs"] * 30 + ["dots"] * 6 + ["glaze"] * 4,
        artist=["Ada", "Bo"] * 20, year=[str(1800 + i) for i in range(40)], split_style=["train"] * 40,
        width=[100 + 10 * i for i in range(40)], height=[200] * 40,
        group=["g0", "g0", *(f"g{i}" for i in range(2, 40))],
    )  # fmt: skip
    return named(
        divide(data, pd.DataFrame({"brightness": ramp, "saturation": ramp, "sharpness": ramp, "chroma": GREY * 10}))
    )


def test_images_are_divided_by_everything_that_is_known_of_them(ways: dict[str, Property]) -> None:
    assert set(ways) == {
        "class", "small_class", "artist", "year", "aspect_ratio", "resolution", "near_duplicate", "greyscale",
        "brightness", "saturation", "sharpness",
    }  # fmt: skip


def test_a_class_is_small_below_half_of_the_average(ways: dict[str, Property]) -> None:
    assert levels(ways["small_class"]) == ["no"] * 30 + ["yes"] * 10
    assert ways["small_class"].phrases[1] == "Images of small classes (fewer than 7 images)"


def test_numbers_are_cut_into_fifths_that_name_their_range(ways: dict[str, Property]) -> None:
    assert phrases(ways["year"])[::8] == [
        "Images of the earliest fifth (1800 to 1807)",
        "Images of the second fifth by year (1808 to 1815)",
        "Images of the third fifth by year (1816 to 1823)",
        "Images of the fourth fifth by year (1824 to 1831)",
        "Images of the latest fifth (1832 to 1839)",
    ]
    assert phrases(ways["resolution"])[0] == "Images of the smallest fifth (0.02 to 0.034 megapixels)"
    assert phrases(ways["brightness"])[39] == "Images of the brightest fifth (32 to 39)"


def test_shapes_are_said_with_their_ratios(ways: dict[str, Property]) -> None:
    assert phrases(ways["aspect_ratio"])[0] == "Tall images (width to height 0.5 to 0.8)"
    assert phrases(ways["aspect_ratio"])[10] == "Nearly square images (width to height 0.8 to 1.25)"
    assert phrases(ways["aspect_ratio"])[39] == "Very wide images (width to height 2 and above)"


def test_grey_is_what_has_no_chroma_and_a_picture_nobody_measured_is_neither(ways: dict[str, Property]) -> None:
    assert levels(ways["greyscale"])[:4] == ["yes", "no", "", "no"]


def test_duplicates_and_other_labels_have_phrases_of_their_own(ways: dict[str, Property]) -> None:
    assert levels(ways["near_duplicate"]) == ["yes", "yes"] + ["no"] * 38
    assert phrases(ways["near_duplicate"])[0] == "Images with a duplicate in the collection"
    assert phrases(ways["artist"])[:2] == ["Images with artist Ada", "Images with artist Bo"]


def test_years_are_read_as_people_write_them(labelled: Labelled) -> None:
    written = ["1889", "1889.0", "c. 1600", "1750-60", "", "unknown"] * 5
    codes = named(divide(labelled(["a", "b"] * 15, year=written), None))["year"].codes[:6]
    assert codes[0] == codes[1] != codes[2]
    assert codes.tolist()[4:] == [-1, -1]


def test_what_is_alike_in_all_images_or_not_known_divides_nothing(labelled: Labelled) -> None:
    assert set(named(divide(labelled(["a", "b"] * 10, width=[0] * 20), None))) == {"class"}

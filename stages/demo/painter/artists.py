"""The eight invented artists: their colours, their hand, what they like to paint; and their variation on one day.

In: artists.toml. Out: `ARTISTS`, and `Variation`, one picture's named colours and habits.
How a style or a genre uses them is left to those modules.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ImageColor

from stages.demo.painter.colours import jittered, mix, saturated

STYLES = ("dabs", "polygons", "colour_fields", "ink_line", "dots", "glaze")
GENRES = ("landscape", "portrait", "still_life", "abstract", "cityscape")
# Weight of a style or genre that an artist has no preference about.
OTHERWISE = 0.8
# Share of pictures for which an artist tries a colleague's colours.
BORROWED_PALETTES = 0.14

# What the colours of a palette's row are for, in order.
ROLES = "zenith horizon leaf grass soil water wall accent accent accent accent accent dark light paper"


@dataclass(frozen=True, kw_only=True)
class Artist:
    """One painter: preferences, as artists.toml explains them, and the habits of the hand.

    Attributes
    ----------
    light
        Where the light comes from, degrees: 0 right, -90 above, 180 left.
    horizon
        Height of the horizon, 0 top to 1 bottom.
    brush, contrast, saturation
        Factors: size of the marks, spread of tones and of colours.
    weave
        How much of the canvas shows through, 0 to 1.
    night, margin
        Probabilities of a night scene and of a bare margin around the picture.
    """

    name: str
    share: float
    styles: dict[str, float]
    genres: dict[str, float]
    favourite: dict[str, str]
    palettes: list[str]
    light: float
    horizon: float
    brush: float
    weave: float
    contrast: float = 1.0
    saturation: float = 1.0
    night: float = 0.0
    margin: float = 0.1


_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
ARTISTS = tuple(Artist(**row.pop("hand"), **row) for row in _TABLES["artists"])


@dataclass(frozen=True)
class Variation:
    """An artist's colours and habits, varied for one picture; `colours` has arrays of shape `(3,)` per name."""

    artist: Artist
    colours: dict[str, list[np.ndarray]]
    light: float
    horizon: float
    brush: float
    night: bool


def _colour(text: str) -> np.ndarray:
    return np.array(ImageColor.getrgb(f"#{text}"), np.float32) / 255


def vary_artist(rng: np.random.Generator, artist: Artist) -> Variation:
    """Vary an artist's palette and habits for one picture."""
    lender = ARTISTS[rng.integers(len(ARTISTS))] if rng.random() < BORROWED_PALETTES else artist
    palette = _TABLES["palettes"][rng.choice(lender.palettes)]
    factor, night = artist.saturation * rng.uniform(0.8, 1.12), bool(rng.random() < artist.night)
    colours: dict[str, list[np.ndarray]] = {}
    for role, text in zip(ROLES.split(), palette.split(), strict=True):
        colours.setdefault(role, []).append(jittered(rng, saturated(_colour(text), factor), 0.035))
    if night:
        dark = colours["dark"][0]
        shares = {"zenith": 0.7, "accent": 0.2, "dark": 0, "light": 0, "paper": 0}
        colours = {role: [mix(c, dark, shares.get(role, 0.5)) for c in found] for role, found in colours.items()}
    (dark,), (light,), accents = colours["dark"], colours["light"], colours["accent"]
    accents[:] = [accents[i] for i in rng.permutation(len(accents))]
    lit = [mix(light, accents[1], 0.35)] if night else [mix(dark, colours["horizon"][0], 0.35)]
    mixtures = {
        "first": accents[:1],
        "second": accents[1:2],
        "pane": [*lit, mix(dark, colours["water"][0], 0.3), mix(dark, colours["water"][0], 0.5)],
        "glass": [*colours["grass"], dark, *colours["water"], accents[2]],
        "land": colours["leaf"] + colours["grass"] + colours["soil"],
        "foliage": [*2 * colours["leaf"], *2 * colours["grass"], mix(colours["leaf"][0], accents[2], 0.6)],
        "front": colours["wall"] + colours["soil"] + accents + ([] if night else colours["light"]),
    }
    common = {name: [_colour(text) for text in row.split()] for name, row in _TABLES["common"].items()}
    return Variation(
        artist=artist,
        colours=common | colours | mixtures,
        light=float(np.radians(rng.normal(artist.light, 22))),
        horizon=float(np.clip(rng.normal(artist.horizon, 0.07), 0.28, 0.75)),
        brush=float(artist.brush * rng.uniform(0.8, 1.25)),
        night=night,
    )

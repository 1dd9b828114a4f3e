"""The eight invented artists: their colours, their hand, and what they like to paint.

Out: `ARTISTS`, and `Mood`, one artist's palette and habits as they are on the day of one picture.
How a style or a genre uses them is left to those modules.
"""

from dataclasses import dataclass

import numpy as np

from stages.demo.painter import palettes
from stages.demo.painter.colours import from_hex, jittered, saturated
from stages.demo.painter.palettes import Palette

STYLES = ("dabs", "polygons", "colour_fields", "ink_line", "dots", "glaze")
GENRES = ("landscape", "portrait", "still_life", "abstract", "cityscape")
# Weight of a style or genre that an artist has no preference about.
OTHERWISE = 0.8
# Share of pictures for which an artist tries a colleague's colours.
BORROWED_PALETTES = 0.14


@dataclass(frozen=True, kw_only=True)
class Artist:
    """One painter.

    Attributes
    ----------
    share
        Part of the collection that is theirs.
    styles, genres
        Weights of what they prefer; everything else has the weight `OTHERWISE`.
    palettes
        One of them is picked for each picture.
    light_deg
        Where the light comes from: 0 right, -90 above, 180 left.
    horizon
        Height of the horizon, 0 top to 1 bottom.
    brush
        Size of the marks, 1 for average.
    weave
        How much of the canvas shows through, 0 to 1.
    contrast, saturation
        Factors.
    night, margin
        Probabilities of a night scene and of a bare margin around the picture.
    favourite
        The composition that is picked more often than others, by genre.
    """

    name: str
    share: float
    styles: dict[str, float]
    genres: dict[str, float]
    palettes: tuple[Palette, ...]
    light_deg: float
    horizon: float
    brush: float
    weave: float
    contrast: float = 1.0
    saturation: float = 1.0
    night: float = 0.0
    margin: float = 0.1
    favourite: dict[str, str]


ARTISTS = (
    Artist(
        name="Anouk Célestrin",
        share=0.17,
        styles={"dabs": 8, "dots": 4, "glaze": 1.2},
        genres={"landscape": 5, "still_life": 2.5, "portrait": 1.5, "cityscape": 1.4},
        palettes=(
            palettes.CELESTRIN,
            palettes.CELESTRIN_DUSK,
        ),
        light_deg=-140,
        horizon=0.42,
        brush=1.0,
        weave=0.5,
        contrast=0.95,
        saturation=1.05,
        favourite={"landscape": "meadow", "still_life": "flowers", "portrait": "hat"},
    ),
    Artist(
        name="Jörn Västerholm",
        share=0.14,
        styles={"dabs": 5, "glaze": 5, "colour_fields": 1.5, "ink_line": 1.2},
        genres={"landscape": 6, "cityscape": 2, "portrait": 1.5},
        palettes=(palettes.VASTERHOLM,),
        light_deg=-40,
        horizon=0.66,
        brush=1.35,
        weave=0.3,
        contrast=1.05,
        saturation=0.9,
        night=0.25,
        margin=0.05,
        favourite={"landscape": "sea", "abstract": "stack", "cityscape": "waterfront"},
    ),
    Artist(
        name="Teodor Quillfeather",
        share=0.13,
        styles={"ink_line": 9, "glaze": 2, "polygons": 1.2},
        genres={"cityscape": 5, "portrait": 2.2, "landscape": 2, "still_life": 1.5},
        palettes=(palettes.QUILLFEATHER,),
        light_deg=-120,
        horizon=0.55,
        brush=0.8,
        weave=0.15,
        contrast=1.1,
        saturation=0.8,
        night=0.1,
        margin=0.55,
        favourite={"cityscape": "street", "portrait": "beard"},
    ),
    Artist(
        name="Mirela Ostravane",
        share=0.13,
        styles={"polygons": 8, "colour_fields": 3.2},
        genres={"still_life": 5, "portrait": 3, "abstract": 2.5, "cityscape": 1.5},
        palettes=(palettes.OSTRAVANE,),
        light_deg=-60,
        horizon=0.5,
        brush=1.2,
        weave=0.4,
        contrast=1.05,
        saturation=0.95,
        favourite={"still_life": "bottles", "abstract": "bars"},
    ),
    Artist(
        name="Olumé Adébisan",
        share=0.12,
        styles={"colour_fields": 8, "polygons": 4, "dots": 1.5},
        genres={"portrait": 5, "abstract": 3.5, "landscape": 1.4, "still_life": 1.4},
        palettes=(
            palettes.ADEBISAN,
            palettes.ADEBISAN_BLUE,
        ),
        light_deg=-100,
        horizon=0.6,
        brush=1.3,
        weave=0.1,
        contrast=1.05,
        margin=0.15,
        favourite={"portrait": "plain", "abstract": "circles"},
    ),
    Artist(
        name="Pia Lunterelle",
        share=0.12,
        styles={"dots": 8, "dabs": 2.5, "colour_fields": 1.5},
        genres={"cityscape": 4, "landscape": 2.5, "portrait": 1.2, "still_life": 1.2},
        palettes=(palettes.LUNTERELLE,),
        light_deg=-150,
        horizon=0.5,
        brush=0.9,
        weave=0.2,
        contrast=0.9,
        saturation=1.1,
        night=0.12,
        margin=0.3,
        favourite={"cityscape": "boulevard", "landscape": "lake"},
    ),
    Artist(
        name="Benedikt Ombra",
        share=0.1,
        styles={"glaze": 8, "dabs": 1.5, "ink_line": 1.2},
        genres={"portrait": 4.5, "still_life": 4.5, "landscape": 1.2},
        palettes=(palettes.OMBRA,),
        light_deg=-145,
        horizon=0.58,
        brush=1.1,
        weave=0.55,
        contrast=1.15,
        saturation=0.85,
        night=0.3,
        margin=0.05,
        favourite={"still_life": "fruit", "portrait": "plain"},
    ),
    Artist(
        name="Sachiro Kumonagi",
        share=0.09,
        styles={"ink_line": 6, "colour_fields": 5, "glaze": 1.5},
        genres={"landscape": 5, "abstract": 2, "still_life": 1.8, "portrait": 1.2},
        palettes=(palettes.KUMONAGI,),
        light_deg=-75,
        horizon=0.48,
        brush=1.5,
        weave=0.1,
        night=0.1,
        margin=0.4,
        favourite={"landscape": "mountains", "abstract": "circles"},
    ),
)


@dataclass(frozen=True)
class Mood:
    """An artist on the day of one picture: colours as arrays of shape `(3,)`, habits with that day's variation."""

    artist: Artist
    sky: list[np.ndarray]
    land: list[np.ndarray]
    water: np.ndarray
    wall: np.ndarray
    accents: list[np.ndarray]
    dark: np.ndarray
    light: np.ndarray
    paper: np.ndarray
    light_rad: float
    horizon: float
    brush: float
    night: bool

    def accent(self, rng: np.random.Generator) -> np.ndarray:
        """One of the accents, never twice quite the same."""
        return jittered(rng, self.accents[rng.integers(len(self.accents))], 0.03)

    def composition(self, rng: np.random.Generator, genre: str, choices: tuple[str, ...]) -> str:
        """Pick how to compose a genre; the artist's favourite comes up about every other time."""
        favourite = self.artist.favourite.get(genre)
        return favourite if favourite in choices and rng.random() < 0.45 else choices[rng.integers(len(choices))]


def mood_of(rng: np.random.Generator, artist: Artist) -> Mood:
    """Vary an artist's palette and habits for one picture."""
    lender = ARTISTS[rng.integers(len(ARTISTS))] if rng.random() < BORROWED_PALETTES else artist
    palette = lender.palettes[rng.integers(len(lender.palettes))]
    factor = artist.saturation * rng.uniform(0.8, 1.12)

    def mixed(text: str, amount: float = 0.035) -> np.ndarray:
        return jittered(rng, saturated(from_hex(text), factor), amount)

    accents = [mixed(text) for text in palette.accents]
    return Mood(
        artist=artist,
        sky=[mixed(text) for text in palette.sky],
        land=[mixed(text) for text in palette.land],
        water=mixed(palette.water),
        wall=mixed(palette.wall, 0.06),
        accents=[accents[i] for i in rng.permutation(len(accents))],
        dark=mixed(palette.dark, 0.015),
        light=mixed(palette.light, 0.015),
        paper=mixed(palette.paper, 0.02),
        light_rad=float(np.radians(rng.normal(artist.light_deg, 22))),
        horizon=float(np.clip(rng.normal(artist.horizon, 0.07), 0.28, 0.75)),
        brush=float(artist.brush * rng.uniform(0.8, 1.25)),
        night=bool(rng.random() < artist.night),
    )

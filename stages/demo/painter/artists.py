"""The eight invented artists: their colours, their hand, what they like to paint; and their mood on one day.

Out: `ARTISTS`, and `Mood`, the named colours and habits of one picture.
How a style or a genre uses them is left to those modules.
"""

from dataclasses import dataclass

import numpy as np

from stages.demo.painter.colours import from_hex, jittered, mix, saturated

STYLES = ("dabs", "polygons", "colour_fields", "ink_line", "dots", "glaze")
GENRES = ("landscape", "portrait", "still_life", "abstract", "cityscape")
# Weight of a style or genre that an artist has no preference about.
OTHERWISE = 0.8
# Share of pictures for which an artist tries a colleague's colours.
BORROWED_PALETTES = 0.14

# A palette is a row of colours by the part they play: sky above and low, two greens, bare ground, water, walls, five
# accents (flowers, clothes, roofs, fruit: the artist's signature), deepest tone, highest light, and paper.
ROLES = (*["zenith", "horizon", "leaf", "grass", "soil", "water", "wall"], *["accent"] * 5, "dark", "light", "paper")
ROSE = "8fb8de f6dfc4 a9b665 6f9a5b c9b27a 7fb3c8 d9c8d8 e8a0a8 f2c14e 7d8cc4 e9e3f0 d97b5c 4a4a72 fff3dc f3ead8"
DUSK = "8c86bd f7b89c 8a9a6a 5b7a6a b58f78 9a8fc0 e5c3b5 f28f7c ffd27a 6e6fae f6d9d0 b8577a 3f3a66 ffe8c9 f3e4d4"
FJORD = "3d5f80 cfdad8 56695c 39504f 8a8a70 406b82 8da0a6 b5c7cc c98b4a 7a3b35 e6e4d6 2f4a63 172633 eef2ec e2e4dc"
SEPIA = "c9bfa5 efe4c8 a08c62 7a6b4e c5ae7e 98a095 cbb892 8c3b2a b98b45 5e6a5c d9c9a0 3f4c58 2b211b f7efda efe3c4"
OCHRE = "8d9a93 d8c9a6 8a7f4e 5c5f43 b08a55 5f7d82 a99272 b4532f d8a24a 3f5e63 e3d3b0 6b3a2e 2a2422 f0e2c2 e6d7b8"
MARKET = "f2a03d ffd97a 2f8f5b 15695a d9772b 1c7fa6 e8553f e4312b ffc31f 1b4fa0 f9f1e0 e0559a 1d1a3a fff6e0 fbeed2"
HARBOUR = "1d6fb8 6fd0d8 5aa83c 127a6a f0b429 0f5f9c f4b73a f0532d ffd23f 7a2f8f fdf6ea 0fa3a3 17163a fffbe9 fbf1da"
MINT = "7cc4cc fbe3dd 6fb08a 3f8f86 e6c98f 58aeb8 f1c7cf ee7b9a 2f9e9b f6b65a fef0ea 7a5aa8 2e3f66 fffaf0 fdf3ea"
EMBER = "4d4a48 b58d5c 5a4a2c 3c3a28 7f6238 3e4a48 4a3626 a3352b c98f3c 6a5a3a e2c79a 3b4a52 140d0a f4dfb4 d8c3a0"
INDIGO = "cfd6cf f2e6cf 7f9a86 4a6a70 b9b08a 5c7f96 e9dcc3 d1402b 23406e e8a33a f6ead2 6f8f5f 1a2233 fbf4e4 f4ead4"

# Colours that are the same whoever paints. Of several, one is drawn each time. `white` and `black` are what things are
# lightened and darkened with: shadows in paintings are seldom neutral.
COMMON = {
    "white": "fffaeb",
    "black": "0d0d1f",
    "skin": "f3cfb0 e8b894 d09a70 a8714a 7c4c30 f0c8b8 bb8660",
    "hair": "2a1d18 4b2f20 7b4a28 b98748 a8a29a 1c1a22 8e3b22 dcc28a",
    "iris": "4a2f1c 4d6a3c 3d5f80 26323c",
    "red": "b8322f",
    "wood": "8a5a34",
    "fruit": "c8372d d9822b e3c23c 8fa63a 7a2f4a d9a441 b5482f",
    "grape": "5a2a55 8fa24a 3a2f5c",
    "crust": "b87a3a",
}


@dataclass(frozen=True, kw_only=True)
class Hand:
    """An artist's habits.

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

    light: float
    horizon: float
    brush: float
    weave: float
    contrast: float = 1.0
    saturation: float = 1.0
    night: float = 0.0
    margin: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Artist:
    """One painter: their share of the collection, weights of the styles and genres that they prefer, the composition
    they choose most often by genre, their palettes (one is drawn for each picture) and their hand."""

    name: str
    share: float
    styles: dict[str, float]
    genres: dict[str, float]
    favourite: dict[str, str]
    palettes: tuple[str, ...]
    hand: Hand


ARTISTS = (
    Artist(
        name="Anouk Célestrin",
        share=0.17,
        styles={"dabs": 8, "dots": 4, "glaze": 1.2},
        genres={"landscape": 5, "still_life": 2.5, "portrait": 1.5, "cityscape": 1.4},
        favourite={"landscape": "meadow", "still_life": "flowers", "portrait": "hat"},
        palettes=(ROSE, DUSK),
        hand=Hand(light=-140, horizon=0.42, brush=1.0, weave=0.5, contrast=0.95, saturation=1.05),
    ),
    Artist(
        name="Jörn Västerholm",
        share=0.14,
        styles={"dabs": 5, "glaze": 5, "colour_fields": 1.5, "ink_line": 1.2},
        genres={"landscape": 6, "cityscape": 2, "portrait": 1.5},
        favourite={"landscape": "sea", "abstract": "stack", "cityscape": "waterfront"},
        palettes=(FJORD,),
        hand=Hand(
            light=-40, horizon=0.66, brush=1.35, weave=0.3, contrast=1.05, saturation=0.9, night=0.25, margin=0.05
        ),
    ),
    Artist(
        name="Teodor Quillfeather",
        share=0.13,
        styles={"ink_line": 9, "glaze": 2, "polygons": 1.2},
        genres={"cityscape": 5, "portrait": 2.2, "landscape": 2, "still_life": 1.5},
        favourite={"cityscape": "street", "portrait": "beard"},
        palettes=(SEPIA,),
        hand=Hand(
            light=-120, horizon=0.55, brush=0.8, weave=0.15, contrast=1.1, saturation=0.8, night=0.1, margin=0.55
        ),
    ),
    Artist(
        name="Mirela Ostravane",
        share=0.13,
        styles={"polygons": 8, "colour_fields": 3.2},
        genres={"still_life": 5, "portrait": 3, "abstract": 2.5, "cityscape": 1.5},
        favourite={"still_life": "bottles", "abstract": "bars"},
        palettes=(OCHRE,),
        hand=Hand(light=-60, horizon=0.5, brush=1.2, weave=0.4, contrast=1.05, saturation=0.95),
    ),
    Artist(
        name="Olumé Adébisan",
        share=0.12,
        styles={"colour_fields": 8, "polygons": 4, "dots": 1.5},
        genres={"portrait": 5, "abstract": 3.5, "landscape": 1.4, "still_life": 1.4},
        favourite={"portrait": "plain", "abstract": "circles"},
        palettes=(MARKET, HARBOUR),
        hand=Hand(light=-100, horizon=0.6, brush=1.3, weave=0.1, contrast=1.05, margin=0.15),
    ),
    Artist(
        name="Pia Lunterelle",
        share=0.12,
        styles={"dots": 8, "dabs": 2.5, "colour_fields": 1.5},
        genres={"cityscape": 4, "landscape": 2.5, "portrait": 1.2, "still_life": 1.2},
        favourite={"cityscape": "boulevard", "landscape": "lake"},
        palettes=(MINT,),
        hand=Hand(light=-150, horizon=0.5, brush=0.9, weave=0.2, contrast=0.9, saturation=1.1, night=0.12, margin=0.3),
    ),
    Artist(
        name="Benedikt Ombra",
        share=0.1,
        styles={"glaze": 8, "dabs": 1.5, "ink_line": 1.2},
        genres={"portrait": 4.5, "still_life": 4.5, "landscape": 1.2},
        favourite={"still_life": "fruit", "portrait": "plain"},
        palettes=(EMBER,),
        hand=Hand(
            light=-145, horizon=0.58, brush=1.1, weave=0.55, contrast=1.15, saturation=0.85, night=0.3, margin=0.05
        ),
    ),
    Artist(
        name="Sachiro Kumonagi",
        share=0.09,
        styles={"ink_line": 6, "colour_fields": 5, "glaze": 1.5},
        genres={"landscape": 5, "abstract": 2, "still_life": 1.8, "portrait": 1.2},
        favourite={"landscape": "mountains", "abstract": "circles"},
        palettes=(INDIGO,),
        hand=Hand(light=-75, horizon=0.48, brush=1.5, weave=0.1, night=0.1, margin=0.4),
    ),
)


@dataclass(frozen=True)
class Mood:
    """An artist on the day of one picture: `colours` has one or more arrays of shape `(3,)` per name."""

    artist: Artist
    colours: dict[str, list[np.ndarray]]
    light: float
    horizon: float
    brush: float
    night: bool


def mood_of(rng: np.random.Generator, artist: Artist) -> Mood:
    """Vary an artist's palette and habits for one picture."""
    lender = ARTISTS[rng.integers(len(ARTISTS))] if rng.random() < BORROWED_PALETTES else artist
    palette, hand = lender.palettes[rng.integers(len(lender.palettes))], artist.hand
    factor, night = hand.saturation * rng.uniform(0.8, 1.12), bool(rng.random() < hand.night)
    colours: dict[str, list[np.ndarray]] = {}
    for role, text in zip(ROLES, palette.split(), strict=True):
        colours.setdefault(role, []).append(jittered(rng, saturated(from_hex(text), factor), 0.035))
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
    return Mood(
        artist=artist,
        colours={name: [from_hex(text) for text in row.split()] for name, row in COMMON.items()} | colours | mixtures,
        light=float(np.radians(rng.normal(hand.light, 22))),
        horizon=float(np.clip(rng.normal(hand.horizon, 0.07), 0.28, 0.75)),
        brush=float(hand.brush * rng.uniform(0.8, 1.25)),
        night=night,
    )

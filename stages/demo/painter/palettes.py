"""The artists' palettes: which colours go together.

Out: one `Palette` per artist, two for some. Colours are hexadecimal RGB, as a person would pick them on a screen.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours by the part they play.

    Attributes
    ----------
    sky
        Zenith and horizon.
    land
        Two greens or darks for what grows, and the bare ground.
    water, wall
        Water; walls of rooms and houses.
    accents
        What catches the eye: flowers, clothes, roofs, fruit. The artist's signature.
    dark, light, paper
        Deepest tone, highest light, and the ground that shows at the margins.
    """

    sky: tuple[str, str]
    land: tuple[str, str, str]
    water: str
    wall: str
    accents: tuple[str, ...]
    dark: str
    light: str
    paper: str


CELESTRIN = Palette(
    sky=("8fb8de", "f6dfc4"),
    land=("a9b665", "6f9a5b", "c9b27a"),
    water="7fb3c8",
    wall="d9c8d8",
    accents=("e8a0a8", "f2c14e", "7d8cc4", "e9e3f0", "d97b5c"),
    dark="4a4a72",
    light="fff3dc",
    paper="f3ead8",
)
CELESTRIN_DUSK = Palette(
    sky=("8c86bd", "f7b89c"),
    land=("8a9a6a", "5b7a6a", "b58f78"),
    water="9a8fc0",
    wall="e5c3b5",
    accents=("f28f7c", "ffd27a", "6e6fae", "f6d9d0", "b8577a"),
    dark="3f3a66",
    light="ffe8c9",
    paper="f3e4d4",
)
VASTERHOLM = Palette(
    sky=("3d5f80", "cfdad8"),
    land=("56695c", "39504f", "8a8a70"),
    water="406b82",
    wall="8da0a6",
    accents=("b5c7cc", "c98b4a", "7a3b35", "e6e4d6", "2f4a63"),
    dark="172633",
    light="eef2ec",
    paper="e2e4dc",
)
QUILLFEATHER = Palette(
    sky=("c9bfa5", "efe4c8"),
    land=("a08c62", "7a6b4e", "c5ae7e"),
    water="98a095",
    wall="cbb892",
    accents=("8c3b2a", "b98b45", "5e6a5c", "d9c9a0", "3f4c58"),
    dark="2b211b",
    light="f7efda",
    paper="efe3c4",
)
OSTRAVANE = Palette(
    sky=("8d9a93", "d8c9a6"),
    land=("8a7f4e", "5c5f43", "b08a55"),
    water="5f7d82",
    wall="a99272",
    accents=("b4532f", "d8a24a", "3f5e63", "e3d3b0", "6b3a2e"),
    dark="2a2422",
    light="f0e2c2",
    paper="e6d7b8",
)
ADEBISAN = Palette(
    sky=("f2a03d", "ffd97a"),
    land=("2f8f5b", "15695a", "d9772b"),
    water="1c7fa6",
    wall="e8553f",
    accents=("e4312b", "ffc31f", "1b4fa0", "f9f1e0", "e0559a"),
    dark="1d1a3a",
    light="fff6e0",
    paper="fbeed2",
)
ADEBISAN_BLUE = Palette(
    sky=("1d6fb8", "6fd0d8"),
    land=("5aa83c", "127a6a", "f0b429"),
    water="0f5f9c",
    wall="f4b73a",
    accents=("f0532d", "ffd23f", "7a2f8f", "fdf6ea", "0fa3a3"),
    dark="17163a",
    light="fffbe9",
    paper="fbf1da",
)
LUNTERELLE = Palette(
    sky=("7cc4cc", "fbe3dd"),
    land=("6fb08a", "3f8f86", "e6c98f"),
    water="58aeb8",
    wall="f1c7cf",
    accents=("ee7b9a", "2f9e9b", "f6b65a", "fef0ea", "7a5aa8"),
    dark="2e3f66",
    light="fffaf0",
    paper="fdf3ea",
)
OMBRA = Palette(
    sky=("4d4a48", "b58d5c"),
    land=("5a4a2c", "3c3a28", "7f6238"),
    water="3e4a48",
    wall="4a3626",
    accents=("a3352b", "c98f3c", "6a5a3a", "e2c79a", "3b4a52"),
    dark="140d0a",
    light="f4dfb4",
    paper="d8c3a0",
)
KUMONAGI = Palette(
    sky=("cfd6cf", "f2e6cf"),
    land=("7f9a86", "4a6a70", "b9b08a"),
    water="5c7f96",
    wall="e9dcc3",
    accents=("d1402b", "23406e", "e8a33a", "f6ead2", "6f8f5f"),
    dark="1a2233",
    light="fbf4e4",
    paper="f4ead4",
)

"""Paint one picture: an artist's variation, a picture of the genre, the style's manner, the photograph of the result.

In: style, genre, artist and a random generator. Out: an RGB image.
Which pictures there are is left to the plan of the collection, files to `encode`.
"""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from stages.demo.painter.artists import ARTISTS, Variation, vary_artist
from stages.demo.painter.colours import bytes_of, mix
from stages.demo.painter.easel import Easel
from stages.demo.painter.genres.abstract import abstract
from stages.demo.painter.genres.cityscape import cityscape
from stages.demo.painter.genres.indoors import portrait, still_life
from stages.demo.painter.genres.landscape import landscape
from stages.demo.painter.styles.marks import dabs, dots
from stages.demo.painter.styles.shapes import colour_fields, ink_line
from stages.demo.painter.styles.tones import glaze, polygons

CANVAS_LONG_SIDE_PX = 700
LONG_SIDES_PX = (300, 900)
OLD_VARNISH = np.array([1.02, 0.99, 0.79])
WOOD = np.array([0.55, 0.4, 0.2], np.float32)

# Genre: how it is composed, least and largest width of a picture one high.
COMPOSE = {
    "landscape": (landscape, (0.8, 2.0)),
    "portrait": (portrait, (0.66, 0.95)),
    "still_life": (still_life, (0.8, 1.45)),
    "abstract": (abstract, (0.72, 1.4)),
    "cityscape": (cityscape, (0.72, 1.7)),
}
RENDER = {style.__name__: style for style in (dabs, polygons, colour_fields, ink_line, dots, glaze)}
ARTIST = {artist.name: artist for artist in ARTISTS}


def paint(rng: np.random.Generator, *, style: str, genre: str, artist: str) -> Image.Image:
    """Paint and photograph one picture.

    Parameters
    ----------
    rng
        Everything random is drawn from it: the same state gives the same picture.

    Returns
    -------
    Image.Image
        RGB, longer side 300 to 900 pixels.
    """
    variation = vary_artist(rng, ARTIST[artist])
    compose, aspects = COMPOSE[genre]
    aspect = float(np.exp(rng.uniform(*np.log(aspects))))
    easel = Easel(rng, variation, aspect)
    compose(easel)
    wide, tall = (CANVAS_LONG_SIDE_PX * side / max(aspect, 1) for side in (aspect, 1))
    painting = RENDER[style](easel, (round(wide), round(tall)))
    return _photograph(rng, _framed(rng, painting, variation), variation.artist.weave)


def _framed(rng: np.random.Generator, painting: Image.Image, variation: Variation) -> Image.Image:
    """Put a margin of bare paper or a moulded frame around some paintings."""
    bands: list[tuple[np.ndarray, float]] = []
    if rng.random() < variation.artist.margin:
        bands = [(variation.colours["paper"][0], rng.uniform(0.02, 0.07))]
    elif rng.random() < 0.06:
        wood = mix(WOOD, variation.colours["accent"][2], rng.uniform(0, 0.6))
        bands = [(wood * step, 0.014) for step in (0.4, 1.0, 0.7)]
    for colour, share in bands:
        painting = ImageOps.expand(painting, int(max(painting.size) * share), tuple(bytes_of(colour).tolist()))
    return painting


def _photograph(rng: np.random.Generator, painting: Image.Image, weave: float) -> Image.Image:
    """Photograph a painting in the size it was published in: canvas, old varnish, lamp light, noise, blur."""
    long_side = int(rng.triangular(LONG_SIDES_PX[0], 480, LONG_SIDES_PX[1]))
    scale, pitch, lamp = long_side / max(painting.size), 2 * np.pi / rng.uniform(2.6, 4.2), rng.random() < 0.4
    size = max(1, round(painting.width * scale)), max(1, round(painting.height * scale))
    photo = np.asarray(painting.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    # Along each axis: a lamp at one side of the room, and the comb of the canvas's threads.
    across, down = (
        lamp * rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, side)
        + 0.05 * weave * np.sin(np.arange(side) * pitch + rng.uniform(0, 6))
        for side in size
    )
    warm = rng.normal(0, 0.03)
    tint = (1 + (OLD_VARNISH - 1) * rng.beta(1.2, 4)) * np.array([1 + warm, 1, 1 - warm]) * rng.normal(1.0, 0.06)
    tone = (1 + across + down[:, None]).astype(np.float32)[..., None]
    photo = photo * tone * tint.astype(np.float32) + rng.uniform(-4, 8)
    if rng.random() < 0.2:
        photo += rng.normal(0, rng.uniform(2, 9), tone.shape).astype(np.float32)
    image = Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))
    # A careless or a small photograph of a painting shows less of its surface.
    blur_px = rng.uniform(0.3, 1.8) * long_side / 600
    return image.filter(ImageFilter.BoxBlur(blur_px)) if rng.random() < 0.2 else image

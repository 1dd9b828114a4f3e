"""Paint one picture: an artist's mood, a scene of the genre, the style's manner, the photograph of the result.

In: style, genre, artist and a random generator. Out: an RGB image.
Which pictures there are is left to `plan`, the files to `encode`.
"""

import numpy as np
from PIL import Image

from stages.demo.painter.artists import ARTISTS, mood_of
from stages.demo.painter.finish import photograph
from stages.demo.painter.genres import abstract, cityscape, landscape, portrait, still_life
from stages.demo.painter.styles.colour_fields import colour_fields
from stages.demo.painter.styles.dabs import dabs
from stages.demo.painter.styles.dots import dots
from stages.demo.painter.styles.glaze import glaze
from stages.demo.painter.styles.ink_line import ink_line
from stages.demo.painter.styles.polygons import polygons

CANVAS_LONG_SIDE_PX = 700
LONG_SIDES_PX = (300, 900)

COMPOSE = {
    "landscape": (landscape.landscape, landscape.ASPECTS),
    "portrait": (portrait.portrait, portrait.ASPECTS),
    "still_life": (still_life.still_life, still_life.ASPECTS),
    "abstract": (abstract.abstract, abstract.ASPECTS),
    "cityscape": (cityscape.cityscape, cityscape.ASPECTS),
}
RENDER = {
    "dabs": dabs,
    "polygons": polygons,
    "colour_fields": colour_fields,
    "ink_line": ink_line,
    "dots": dots,
    "glaze": glaze,
}
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
    mood = mood_of(rng, ARTIST[artist])
    compose, (narrow, wide) = COMPOSE[genre]
    aspect = float(np.exp(rng.uniform(np.log(narrow), np.log(wide))))
    scene = compose(rng, mood, aspect)
    long = CANVAS_LONG_SIDE_PX
    size = (long, round(long / aspect)) if aspect > 1 else (round(long * aspect), long)
    painting = RENDER[style](rng, scene, mood, size)
    return photograph(rng, painting, mood, int(rng.triangular(LONG_SIDES_PX[0], 480, LONG_SIDES_PX[1])))

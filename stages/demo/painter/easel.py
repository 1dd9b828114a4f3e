"""The easel: what a picture shows, composed of shapes, before anyone has decided how to paint it.

In: outlines with the names of colours, added from back to front. Out: the list of shapes.
What is put on it is left to the genres, pixels to `raster`, the manner to the styles.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from stages.demo.painter.artists import Variation
from stages.demo.painter.colours import jittered, mix

# A colour, or names: `"accent dark:.3 white:0-.2"` is an accent, with 30 % dark and then up to 20 % white mixed in.
Tint = str | np.ndarray


@dataclass(frozen=True)
class Finish:
    """How a surface takes light and paint.

    Attributes
    ----------
    shade
        How much lighter and darker than its colour the two ends are, 0 to 1.
    gradient
        Where it darkens: downwards, to the right, away from the light, around a lit sphere, or across a lit cylinder.
    angle
        Direction of the brush, radians; None follows the contour.
    detail
        How small the marks are that it asks for, 0 (a wall) to 1 (an eye).
    opacity, soft
        0 to 1; width of the blurred edge in the outline's unit. Soft shapes are light and shadow, not things.
    """

    shade: float = 0.1
    gradient: Literal["down", "right", "light", "sphere", "cylinder"] = "down"
    angle: float | None = 0.0
    detail: float = 0.3
    opacity: float = 1.0
    soft: float = 0.0


FINISHES = {
    "plain": Finish(),
    "flat": Finish(0.05, detail=0.2),
    "upright": Finish(angle=1.5),
    "solid": Finish(0.25, "light", 1.0),
    "sphere": Finish(0.4, "sphere", None, 0.5),
    "turned": Finish(0.3, "cylinder", 1.4, 0.45),
    "small": Finish(0.06, detail=0.8),
    "glow": Finish(0.0, opacity=0.4, soft=0.06),
}


@dataclass(frozen=True)
class Shape:
    """One area of a picture: polygon, shape `(n, 2)`, in picture heights; colours of its lit and its shaded end; the
    direction in which one turns into the other, radians (None: a sphere)."""

    outline: np.ndarray
    light: np.ndarray
    dark: np.ndarray
    direction: float | None
    finish: Finish

    @property
    def colour(self) -> np.ndarray:
        """The one colour that stands for the whole shape."""
        return mix(self.light, self.dark, 0.5)


@dataclass
class Easel:
    """A picture of width `aspect` and height 1 in the making."""

    rng: np.random.Generator
    variation: Variation
    aspect: float
    shapes: list[Shape] = field(default_factory=list)

    @property
    def lit_side(self) -> int:
        """Where the light comes from: 1 right, -1 left."""
        return 1 if np.cos(self.variation.light) > 0 else -1

    def tint(self, tint: Tint, **own: np.ndarray) -> np.ndarray:
        """Mix a colour, shape `(3,)`, from those of the variation and from `own` ones; of several, any one is taken."""
        if not isinstance(tint, str):
            return tint
        colour = np.zeros(3, np.float32)
        for name, low, high in _parsed(tint):
            colours = [own[name]] if name in own else self.variation.colours[name]
            other = colours[0] if len(colours) == 1 else colours[self.rng.integers(len(colours))]
            other = other if len(colours) == 1 else jittered(self.rng, other, 0.03)
            colour = mix(colour, other, low if low == high else self.rng.uniform(low, high))
        return colour

    def add(
        self, outline: np.ndarray, tint: Tint, look: str | Finish = "plain", *, to: Tint | None = None, **changes: Any
    ) -> None:
        """Put a shape in front of all others; it shades to the colour `to`, or by its `shade`.

        `look` is a finish or the name of one, `changes` are fields of it.
        """
        finish, light = look if isinstance(look, Finish) else FINISHES[look], self.tint(tint)
        finish = replace(finish, **changes) if changes else finish
        dark = mix(light, self.tint("black"), finish.shade) if to is None else self.tint(to)
        light = mix(light, self.tint("white"), finish.shade) if to is None else light
        away = self.variation.light + np.pi
        across = np.pi if self.lit_side > 0 else 0.0
        directions = {"down": np.pi / 2, "right": 0.0, "light": away, "sphere": None, "cylinder": across}
        self.shapes.append(Shape(outline, light, dark, directions[finish.gradient], finish))

    def choose(self, genre: str, compositions: Mapping[str, Any]) -> Any:
        """Pick how to compose a genre; the artist's favourite comes up about every other time."""
        favourite = self.variation.artist.favourite.get(genre, "")
        common = favourite in compositions and self.rng.random() < 0.45
        return compositions[favourite if common else self.rng.choice(list(compositions))]


@cache
def _parsed(tint: str) -> list[tuple[str, float, float]]:
    """What is mixed for a tint, in turn: name, least and largest share; all of the first."""
    base, *rest = tint.split()
    shares = [(base, 1.0, 1.0)]
    for name, _, share in (word.partition(":") for word in rest):
        low, _, high = share.partition("-")
        shares.append((name, float(low), float(high or low)))
    return shares

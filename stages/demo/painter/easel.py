"""The easel: what a picture shows, composed of shapes, before anyone has decided how to paint it.

In: outlines and stencils with the names of colours, added from back to front. Out: the list of shapes.
What is put on it is left to the genres, pixels to `raster`, the manner to the styles.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from stages.demo.painter.artists import Mood
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


PLAIN = Finish()
FLAT = Finish(0.05, detail=0.2)
UPRIGHT = Finish(angle=1.5)
SOLID = Finish(0.25, "light", 1.0)
SPHERE = Finish(0.4, "sphere", None, 0.5)
TURNED = Finish(0.3, "cylinder", 1.4, 0.45)
SMALL = Finish(0.06, detail=0.8)
GLOW = Finish(0.0, opacity=0.4, soft=0.06)


@dataclass(frozen=True)
class Shape:
    """One area of a picture: polygon of shape `(n, 2)` in picture heights, colours of its lit and its shaded end, and
    the direction in which one turns into the other, radians (None: a sphere)."""

    outline: np.ndarray
    light: np.ndarray
    dark: np.ndarray
    direction: float | None
    finish: Finish

    @property
    def colour(self) -> np.ndarray:
        """The one colour that stands for the whole shape."""
        return (self.light + self.dark) / 2


@dataclass(frozen=True)
class Part:
    """One area of a stencil, in the stencil's own unit; `lit` parts on the right are moved to the side of the light."""

    outline: np.ndarray
    tint: str
    finish: Finish
    chance: float
    lit: bool


def part(
    outline: np.ndarray, tint: str, finish: Finish = PLAIN, *, chance: float = 1.0, lit: bool = False, **changes: Any
) -> Part:
    """A part of a stencil; `changes` are fields of the finish."""
    return Part(outline, tint, replace(finish, **changes), chance, lit)


class Easel:
    """A picture of width `aspect` and height 1 in the making."""

    def __init__(self, rng: np.random.Generator, mood: Mood, aspect: float) -> None:
        self.rng, self.mood, self.aspect = rng, mood, aspect
        self.light = mood.light
        self.lit_side = 1.0 if np.cos(mood.light) > 0 else -1.0
        self.shapes: list[Shape] = []
        directions = {"down": np.pi / 2, "right": 0.0, "light": self.light + np.pi, "sphere": None}
        self._directions = directions | {"cylinder": np.pi if self.lit_side > 0 else 0.0}

    def tint(self, tint: Tint, own: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Mix a colour, shape `(3,)`, from the mood's and from the `own` ones of a stencil."""
        if not isinstance(tint, str):
            return tint
        own = own or {}
        base, shares = _parsed(tint)
        colour = own[base] if base in own else self._named(base)
        for name, low, high in shares:
            share = low if low == high else self.rng.uniform(low, high)
            colour = mix(colour, own[name] if name in own else self._named(name), share)
        return colour

    def _named(self, name: str) -> np.ndarray:
        """A colour of the mood; of several, any one, never twice quite the same."""
        colours = self.mood.colours[name]
        return colours[0] if len(colours) == 1 else jittered(self.rng, colours[self.rng.integers(len(colours))], 0.03)

    def add(
        self,
        outline: np.ndarray,
        tint: Tint,
        finish: Finish = PLAIN,
        *,
        to: Tint | None = None,
        own: Mapping[str, np.ndarray] | None = None,
        **changes: Any,
    ) -> None:
        """Put a shape in front of all others; it shades to the colour `to`, or by the finish's `shade`."""
        finish, colour = replace(finish, **changes), self.tint(tint, own)
        if to is None:
            light, dark = (mix(colour, self._named(name), finish.shade) for name in ("white", "black"))
        else:
            light, dark = colour, self.tint(to, own)
        self.shapes.append(Shape(outline, light, dark, self._directions[finish.gradient], finish))

    def draw(
        self,
        stencil: Iterable[Part],
        x: float,
        y: float,
        size: float,
        *,
        wide: float = 1.0,
        tall: float = 1.0,
        **own: Tint,
    ) -> None:
        """Draw a stencil's parts with its origin at (x, y); `own` colours are mixed once for all of them."""
        colours = {name: self.tint(tint) for name, tint in own.items()}
        for one in stencil:
            if one.chance == 1 or self.rng.random() < one.chance:
                across = size * wide * (self.lit_side if one.lit else 1)
                finish = replace(one.finish, soft=one.finish.soft * size) if one.finish.soft else one.finish
                self.add(one.outline * (across, size * tall) + (x, y), one.tint, finish, own=colours)

    def one_of(self, genre: str, compositions: Mapping[str, Any]) -> Any:
        """Pick how to compose a genre; the artist's favourite comes up about every other time."""
        favourite = self.mood.artist.favourite.get(genre, "")
        if favourite in compositions and self.rng.random() < 0.45:
            return compositions[favourite]
        return compositions[list(compositions)[self.rng.integers(len(compositions))]]


@cache
def _parsed(tint: str) -> tuple[str, tuple[tuple[str, float, float], ...]]:
    """Base colour of a tint, and what is mixed in: name, least and largest share."""
    base, *rest = tint.split()
    shares = []
    for name, _, share in (word.partition(":") for word in rest):
        low, _, high = share.partition("-")
        shares.append((name, float(low), float(high or low)))
    return base, tuple(shares)

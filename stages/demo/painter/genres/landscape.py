"""Landscapes, and what a town shows of nature too: sky, hills, water, trees, now and then a cottage or a sail.

In: an easel. Out: the landscape on it, as layers from far to near.
"""

from collections.abc import Callable

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import blob, down_to, ellipse, rectangle, ridge
from stages.demo.painter.stencils import draw

Layer = Callable[[Easel, float], None]

TREES = ("round", "round", "poplar", "birch", "pine")


def landscape(easel: Easel) -> None:
    """Compose a landscape."""
    lay_layers(easel, easel.choose("landscape", COMPOSITIONS), easel.variation.horizon)


def lay_layers(easel: Easel, layers: tuple[Layer, ...], horizon: float) -> None:
    """Lay a sky and then the layers, far to near."""
    add_sky(easel, horizon + 0.02)
    for layer in layers:
        layer(easel, horizon)


def add_sky(easel: Easel, bottom: float) -> None:
    """A sky down to `bottom`: gradient, sun or moon, stars, clouds."""
    rng, night, wide = easel.rng, easel.variation.night, easel.aspect
    sky = rectangle(-0.1, -0.1, wide + 0.1, bottom)
    easel.add(sky, "zenith", to="horizon", angle=rng.normal(0, 0.3), detail=0.1)
    if night or rng.random() < 0.65:
        x = wide * np.clip(0.5 + 0.42 * np.cos(easel.variation.light) + rng.normal(0, 0.05), 0.08, 0.92)
        draw(easel, "sun", x, bottom * rng.uniform(0.2, 0.8), rng.uniform(0.025, 0.06))
    for x, y in rng.random((rng.integers(8, 30) if night else 0, 2)) * (wide, bottom * 0.8):
        easel.add(ellipse(x, y, 0.004, 0.004, points=6), "light", "small")
    _clouds(easel, 0.0)


def add_water(easel: Easel, top: float) -> None:
    """Water reflects the sky, and the brighter sky near the light; ripples widen towards the viewer."""
    rng, wide = easel.rng, easel.aspect
    easel.add(rectangle(-0.1, top, wide + 0.1, 1.1), "water horizon:.4", to="water black:.25", detail=0.2)
    for depth in np.sort(rng.random(rng.integers(18, 34))):
        bright, y = rng.random() < 0.55, top + (1.1 - top) * depth**1.3
        glint = rng.normal(0.5 + 0.4 * np.cos(easel.variation.light), 0.05 + 0.1 * depth)
        x = wide * (glint if bright else rng.random())
        ripple = ellipse(x, y, 0.03 + 0.14 * depth * rng.random(), 0.003 + 0.008 * depth)
        easel.add(ripple, "light horizon:.3" if bright else "water black:.2", "flat", detail=0.5, opacity=0.75)


def scattered(
    stencil: str, *, count: tuple[int, int], reach: tuple[float, float], size: tuple[float, float], **own: str
) -> Layer:
    """Layer of things here and there: at least and less than how many; where and how large the far and near ones are.

    `reach` counts from 0, where the ground begins, to 1 at the lower edge.
    """

    def layer(easel: Easel, top: float) -> None:
        rng = easel.rng
        for depth in np.sort(rng.random(rng.integers(*count))):
            x, y = rng.uniform(0.05, 0.95) * easel.aspect, top + (1 - top) * np.interp(depth, (0, 1), reach)
            stretch = rng.choice([-1, 1]) * rng.uniform(0.8, 1.2)
            draw(easel, stencil, x, y, float(np.interp(depth, (0, 1), size)), scale=(stretch, 1), **own)

    return layer


def _add_tree(easel: Easel, x: float, base: float, height: float, *, haze: float = 0.0, kind: str = "") -> None:
    """A tree that stands at (x, base): one of `TREES`, drawn when not given, behind `haze` (0 to 1)."""
    kind, air = kind or easel.rng.choice(TREES), f"horizon:{haze:.2f}"
    own = {"leaf": f"foliage black:.12 {air}", "bark": f"dark soil:.35 {air}", "pale": f"light dark:.12 {air}"}
    scale = easel.rng.choice([-1, 1]) * easel.rng.uniform(0.8, 1.2), 1
    draw(easel, kind, x, base, height, scale=scale, **own)


def _hills(easel: Easel, horizon: float) -> None:
    """Ridges behind one another; air makes the far ones pale and blue."""
    count, height = easel.rng.integers(1, 4), easel.rng.uniform(0.04, 0.07)
    for near in (np.arange(count) + 1) / (count + 1):
        line = ridge(easel.rng, easel.aspect, horizon - height * (1.3 - 1.2 * near), height, waves=1.6, rough=0.35)
        easel.add(down_to(line, horizon + 0.1), f"zenith horizon:.4 grass:{0.25 + 0.5 * near:.2f}", "flat", angle=0.1)


def _far_trees(easel: Easel, horizon: float) -> None:
    height = easel.rng.uniform(0.04, 0.1)
    line = ridge(easel.rng, easel.aspect, horizon + 0.02 - height * 0.7, height * 0.5, waves=6, rough=0.7)
    easel.add(down_to(line, horizon + 0.04), "grass black:.2 zenith:.3", angle=1.4, detail=0.45)


def _fields(easel: Easel, horizon: float) -> None:
    """Rolling fields that lie one before another, pale where they are far, some with trees on their crests."""
    rng, count, wooded = easel.rng, easel.rng.integers(3, 7), easel.rng.random() < 0.5
    easel.add(rectangle(-0.1, horizon, easel.aspect + 0.1, 1.1), "leaf horizon:.25", to="grass", detail=0.2)
    for near in (np.arange(count) + rng.random()) / count:
        height, level = 0.02 + 0.06 * near * rng.random(), horizon + (0.98 - horizon) * near**1.3
        line, air = ridge(rng, easel.aspect, level, height, waves=1, rough=0.2), 0.6 * (1 - near)
        field = down_to(np.maximum(line, (-9, horizon + 0.005)), 1.1)
        easel.add(field, f"land horizon:{air:.2f}", shade=0.15, angle=rng.normal(0, 0.3), detail=0.2 + 0.3 * near)
        for x, y in line[rng.integers(8, 82, rng.integers(0, 5) if wooded else 0)]:
            _add_tree(easel, x, y + 0.02, 0.05 + 0.13 * near * rng.uniform(0.6, 1), haze=0.5 * (1 - near))


def _shore(easel: Easel, horizon: float) -> None:
    """The near shore: sand behind a line of foam, or a bank with reeds."""
    rng, sandy = easel.rng, easel.rng.random() < 0.5
    shore = ridge(rng, easel.aspect, rng.uniform(0.84, 0.95), 0.045, waves=1)
    easel.add(down_to(shore - (0, 0.012), 1.1), "water white:.7", "flat")
    easel.add(down_to(shore, 1.1), "soil light:.3" if sandy else "leaf", shade=0.15, angle=0.1)
    for x, y in shore[np.clip(rng.normal(rng.integers(10, 80), 12, 0 if sandy else 14), 0, 89).astype(int)]:
        draw(easel, "reed", x, y, rng.uniform(0.08, 0.18), scale=(rng.normal(0, 1), 1))


def _trees(easel: Easel, horizon: float, kind: str = "", most: int = 4) -> None:
    """Trees stand to the sides more often than in the middle, where the view is."""
    rng = easel.rng
    for depth in np.sort(rng.uniform(0.15, 1, rng.integers(most // 2 - 1, most))):
        x, base = easel.aspect * (rng.beta(0.6, 0.6) * 1.04 - 0.02), horizon + 0.08 + (0.94 - horizon) * depth
        shadow = blob(rng, x - 0.05 * easel.lit_side, base, 0.1 * depth + 0.03, 0.012)
        easel.add(shadow, "grass black:.5", "glow", soft=0.008)
        _add_tree(easel, x, base, 0.2 + 0.5 * depth * rng.uniform(0.6, 1.1), haze=0.3 * (1 - depth), kind=kind)


def _grove(easel: Easel, horizon: float) -> None:
    """Many trees of one kind."""
    _trees(easel, horizon, easel.rng.choice(TREES), 14)


sails = scattered("sail", count=(1, 5), reach=(0.05, 0.6), size=(0.06, 0.26))
_peaks = scattered("peak", count=(2, 5), reach=(0.2, 0.2), size=(0.42, 0.32))
_cottage = scattered("cottage", count=(0, 2), reach=(0.15, 0.4), size=(0.07, 0.13))
_path = scattered("path", count=(1, 2), reach=(0.02, 0.02), size=(0.5, 0.5))
_clouds = scattered("cloud", count=(0, 5), reach=(0.02, 0.42), size=(0.06, 0.16))
_flowers = scattered("flower", count=(20, 60), reach=(0.15, 1.1), size=(0.006, 0.022))

COMPOSITIONS: dict[str, tuple[Layer, ...]] = {
    "meadow": (_hills, _fields, _path, _far_trees, _cottage, _flowers, _trees),
    "sea": (_hills, add_water, sails, _shore),
    "lake": (_hills, _far_trees, add_water, _shore, _trees),
    "mountains": (_peaks, _hills, _fields, _trees, _trees),
    "fjord": (_peaks, _far_trees, add_water, _shore, _trees),
    "hills": (_fields, _cottage),
    "grove": (_far_trees, _fields, _path, _grove),
}

"""Landscapes: sky, hills, water, trees, now and then a cottage or a sail.

In: an easel. Out: the landscape on it, as layers from far to near.
"""

from collections.abc import Callable

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.genres.nature import CROWNS, add_sails, add_sky, add_tree, add_water
from stages.demo.painter.outlines import blob, down_to, ellipse, rectangle, ribbon, ridge
from stages.demo.painter.stencils import draw

ASPECTS = (0.8, 2.0)
Layer = Callable[[Easel, float], None]


def landscape(easel: Easel) -> None:
    """Compose a landscape."""
    lay_layers(easel, easel.choose("landscape", COMPOSITIONS), easel.mood.horizon)


def lay_layers(easel: Easel, layers: tuple[Layer, ...], horizon: float) -> None:
    """Lay a sky and then the layers, far to near."""
    add_sky(easel, horizon + 0.02)
    for layer in layers:
        layer(easel, horizon)


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


def _peaks(easel: Easel, horizon: float) -> None:
    for near in (0.25, 0.45, 0.65)[: easel.rng.integers(2, 4)]:
        scale = (0.5 - 0.25 * near) * easel.rng.uniform(0.8, 1.2, 2) * (easel.rng.choice([-1, 1]), 1)
        x, y = easel.rng.uniform(0.05, 0.95) * easel.aspect, horizon + 0.1
        draw(easel, "peak", x, y, 1, scale=scale, rock=f"zenith grass:{near} dark:.15")


def _ground(easel: Easel, horizon: float) -> None:
    """Fields that lie one before another, lighter where they are far."""
    rng = easel.rng
    easel.add(rectangle(-0.1, horizon, easel.aspect + 0.1, 1.1), "leaf horizon:.25", to="grass", detail=0.2)
    for near in np.sort(rng.random(rng.integers(2, 5))) ** 1.4:
        line = ridge(rng, easel.aspect, horizon + (1 - horizon) * near, 0.015 + 0.03 * near, waves=0.8, rough=0.2)
        line[:, 1] += rng.normal(0, 0.06) * (line[:, 0] / easel.aspect - 0.5)
        field = down_to(np.maximum(line, (-9, horizon + 0.005)), 1.1)
        easel.add(field, "land", shade=0.15, angle=rng.normal(0, 0.3), detail=0.2 + 0.3 * near)


def _path(easel: Easel, horizon: float) -> None:
    down, rng = np.linspace(0, 1, 16), easel.rng
    start, end = rng.uniform(0.3, 0.7, 2) * easel.aspect
    x = start + (end - start) * down + 0.12 * np.sin(down * rng.uniform(3, 6) + rng.uniform(0, 6)) * down**0.5
    line = np.stack([x, horizon + 0.02 + (1.08 - horizon) * down**1.5], axis=1)
    easel.add(ribbon(line, 0.01 + 0.2 * down**1.6), "soil light:.45", angle=0.2, detail=0.35)


def _cottage(easel: Easel, horizon: float) -> None:
    if easel.rng.random() < 0.5:
        x, y = easel.rng.uniform(0.2, 0.8) * easel.aspect, horizon + easel.rng.uniform(0.08, 0.2)
        wide = easel.rng.choice([-1, 1]) * easel.rng.uniform(0.07, 0.13)
        draw(easel, "cottage", x, y, 1, scale=(wide, abs(wide)), roof="accent dark:.2")


def _flowers(easel: Easel, horizon: float) -> None:
    colours, middle = [easel.tint("accent") for _ in range(3)], easel.rng.uniform(0.2, 0.8)
    for depth in np.sort(easel.rng.random(easel.rng.integers(15, 60))):
        x, y, size = easel.rng.normal(middle, 0.3) * easel.aspect, horizon + 0.08 + depth / 2, 0.004 + 0.012 * depth
        flower = ellipse(x, y, size, size * 0.8, points=9)
        easel.add(flower, colours[easel.rng.integers(3)], "small", angle=1.3)


def _beach(easel: Easel, horizon: float) -> None:
    if easel.rng.random() < 0.7:
        shore = ridge(easel.rng, easel.aspect, easel.rng.uniform(0.88, 0.95), 0.04, waves=1)
        easel.add(down_to(shore - (0, 0.012), 1.1), "water white:.7", "flat")
        easel.add(down_to(shore, 1.1), "soil light:.3", angle=0.1, detail=0.2)


def _bank(easel: Easel, horizon: float) -> None:
    """The near shore, with reeds."""
    rng = easel.rng
    bank = ridge(rng, easel.aspect, rng.uniform(0.82, 0.95), 0.05, waves=1)
    easel.add(down_to(bank, 1.1), "leaf", shade=0.2, angle=0.15, detail=0.35)
    for place in np.clip(rng.normal(rng.integers(10, 80), 12, rng.integers(6, 22)), 0, 89).astype(int):
        lean, tall = rng.normal(0, 0.03), rng.uniform(0.08, 0.16)
        reed = ribbon(np.array([(0, 0.03), (lean * 0.3, -0.05), (lean, -tall)]), [0.008, 0.006, 0.001])
        easel.add(reed + bank[place], "grass black:0-.35", "small", angle=1.5)


def _trees(easel: Easel, horizon: float) -> None:
    """Trees stand to the sides more often than in the middle, where the view is."""
    rng = easel.rng
    for depth in np.sort(rng.uniform(0.15, 1, rng.integers(1, 4))):
        x, base = easel.aspect * (rng.beta(0.6, 0.6) * 1.04 - 0.02), horizon + 0.08 + (0.94 - horizon) * depth
        shadow = blob(rng, x - 0.05 * easel.lit_side, base, 0.1 * depth + 0.03, 0.012)
        easel.add(shadow, "grass black:.5", "glow", soft=0.008)
        add_tree(easel, x, base, 0.2 + 0.5 * depth * rng.uniform(0.6, 1.1), haze=0.3 * (1 - depth))


def _grove(easel: Easel, horizon: float) -> None:
    """Many trees of one kind."""
    rng, kind = easel.rng, easel.rng.choice([*CROWNS])
    for depth in np.sort(rng.random(rng.integers(7, 13))):
        x, base = rng.uniform(-0.02, 1.02) * easel.aspect, horizon + 0.05 + 0.42 * depth
        add_tree(easel, x, base, 0.3 + 0.5 * depth, haze=0.35 * (1 - depth), kind=kind)


def _downs(easel: Easel, horizon: float) -> None:
    """Rolling fields with trees on their crests."""
    rng, count = easel.rng, easel.rng.integers(4, 7)
    for near in (np.arange(count) + 1) / count:
        level = horizon + (1.0 - horizon) * near**1.3 * 0.85 - 0.04
        line, air = ridge(rng, easel.aspect, level, 0.04 + 0.05 * near, waves=1.2, rough=0.25), 0.65 * (1 - near)
        easel.add(down_to(line, 1.1), f"land horizon:{air:.2f}", shade=0.16, angle=rng.normal(0, 0.35), detail=0.3)
        for x, y in line[rng.integers(8, 82, rng.integers(0, 5))]:
            add_tree(easel, x, y + 0.02, 0.05 + 0.13 * near * rng.uniform(0.6, 1), haze=0.5 * (1 - near))


COMPOSITIONS: dict[str, tuple[Layer, ...]] = {
    "meadow": (_hills, _ground, _path, _far_trees, _cottage, _flowers, _trees),
    "sea": (_hills, add_water, add_sails, _beach),
    "lake": (_hills, _far_trees, add_water, _bank, _trees),
    "mountains": (_peaks, _hills, _ground, _trees, _trees),
    "fjord": (_peaks, _far_trees, add_water, _bank, _trees),
    "hills": (_downs, _cottage),
    "grove": (_far_trees, _ground, _path, _grove),
}

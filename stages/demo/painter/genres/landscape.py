"""Landscapes: sky, hills, water, trees, now and then a cottage or a sail.

In: an easel. Out: the landscape on it, as layers from far to near.
"""

import numpy as np

from stages.demo.painter.easel import FLAT, GLOW, SMALL, SOLID, Easel
from stages.demo.painter.genres.nature import add_cottage, add_sails, add_sky, add_tree, add_water
from stages.demo.painter.outlines import blob, down_to, ellipse, rectangle, ribbon, ridge

ASPECTS = (0.8, 2.0)


def landscape(easel: Easel) -> None:
    """Compose a landscape."""
    lay_layers(easel, easel.one_of("landscape", COMPOSITIONS), easel.mood.horizon)


def lay_layers(easel: Easel, composition: str, horizon: float) -> None:
    """Lay a sky and the layers of one of the compositions, far to near."""
    add_sky(easel, horizon + 0.02)
    for layer in composition.split():
        LAYERS[layer](easel, horizon)


def _hills(easel: Easel, horizon: float) -> None:
    """Ridges behind one another; air makes the far ones pale and blue."""
    count, height = easel.rng.integers(1, 4), easel.rng.uniform(0.04, 0.07)
    for near in (np.arange(count) + 1) / (count + 1):
        line = ridge(easel.rng, easel.aspect, horizon - height * (1.3 - 1.2 * near), height, waves=1.6, rough=0.35)
        easel.add(down_to(line, horizon + 0.1), f"zenith horizon:.4 grass:{0.25 + 0.5 * near:.2f}", FLAT, angle=0.1)


def _far_trees(easel: Easel, horizon: float) -> None:
    height = easel.rng.uniform(0.04, 0.1)
    line = ridge(easel.rng, easel.aspect, horizon + 0.02 - height * 0.7, height * 0.5, waves=6, rough=0.7)
    easel.add(down_to(line, horizon + 0.04), "grass black:.2 zenith:.3", angle=1.4, detail=0.45)


def _peaks(easel: Easel, horizon: float) -> None:
    """Crags with snow on top and a shaded flank."""
    rng = easel.rng
    for i in range(rng.integers(2, 5)):
        x, reach, foot = rng.uniform(0.05, 0.95) * easel.aspect, rng.uniform(0.3, 0.6), horizon + 0.1
        top, side = horizon - rng.uniform(0.2, 0.38) * (1.1 - 0.15 * i), np.linspace(0, 1, 9)[1:]
        slopes = []
        for reach_x in (-reach, reach):
            y = top + (foot - top) * side**0.87 + np.abs(rng.normal(0, 0.018, 8))
            slopes.append(np.stack([x + reach_x * side, y], axis=1))
        left, right = slopes
        rock = easel.tint(f"zenith grass:{0.3 + 0.2 * i:.2f} dark:.15")
        easel.add(np.concatenate([left[::-1], [(x, top)], right]), rock, angle=1.0)
        spine = np.stack([x + rng.normal(0, 0.02, 5), np.linspace(foot, top + 0.03, 5)], axis=1)
        flank = np.concatenate([[(x, top)], left if easel.lit_side > 0 else right, spine])
        easel.add(flank, easel.tint("own black:.35", {"own": rock}), angle=-1.0)
        edge = [(x + reach * 0.12, top + 0.07), (x - reach * 0.06, top + 0.05)]
        snow = np.concatenate([left[2::-1], [(x, top)], right[:3], edge])
        easel.add(snow, "light zenith:.1", SOLID, shade=0.05, detail=0.4)


def _ground(easel: Easel, horizon: float) -> None:
    """Fields that lie one before another, lighter where they are far."""
    rng = easel.rng
    easel.add(rectangle(-0.1, horizon, easel.aspect + 0.1, 1.1), "leaf horizon:.25", to="grass", detail=0.2)
    for near in np.sort(rng.random(rng.integers(2, 5))) ** 1.4:
        level = horizon + (1 - horizon) * near
        line = ridge(rng, easel.aspect, level, 0.015 + 0.03 * near, waves=0.8, rough=0.2)
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
        y = horizon + easel.rng.uniform(0.08, 0.2)
        add_cottage(easel, easel.rng.uniform(0.2, 0.8) * easel.aspect, y, easel.rng.uniform(0.07, 0.13))


def _flowers(easel: Easel, horizon: float) -> None:
    rng, colours = easel.rng, [easel.tint("accent") for _ in range(3)]
    middle = rng.uniform(0.2, 0.8) * easel.aspect
    for depth in np.sort(rng.random(rng.integers(15, 60))):
        x, y, size = (
            rng.normal(middle, 0.3 * easel.aspect),
            horizon + 0.08 + (1 - horizon) * depth,
            0.004 + 0.012 * depth,
        )
        easel.add(ellipse(x, y, size, size * 0.8, points=9), colours[rng.integers(3)], SMALL, angle=1.3)


def _water(easel: Easel, horizon: float) -> None:
    add_water(easel, horizon + 0.01, 1.05)


def _tarn(easel: Easel, horizon: float) -> None:
    """Below mountains: water with a bank, or fields."""
    if easel.rng.random() < 0.5:
        add_water(easel, horizon + 0.12, 1.05)
        _bank(easel, horizon)
    else:
        _ground(easel, horizon + 0.1)


def _sails(easel: Easel, horizon: float) -> None:
    add_sails(easel, horizon + 0.02, horizon + 0.27, int(easel.rng.integers(1, 5)))


def _beach(easel: Easel, horizon: float) -> None:
    if easel.rng.random() < 0.7:
        shore = ridge(easel.rng, easel.aspect, easel.rng.uniform(0.88, 0.95), 0.04, waves=1)
        easel.add(down_to(shore - (0, 0.012), 1.1), "water white:.7", FLAT)
        easel.add(down_to(shore, 1.1), "soil light:.3", angle=0.1, detail=0.2)


def _bank(easel: Easel, horizon: float) -> None:
    """The near shore, with reeds."""
    rng = easel.rng
    bank = ridge(rng, easel.aspect, rng.uniform(0.82, 0.95), 0.05, waves=1)
    easel.add(down_to(bank, 1.1), "leaf", shade=0.2, angle=0.15, detail=0.35)
    middle = rng.integers(10, 80)
    for place in np.clip(rng.normal(middle, 12, rng.integers(6, 22)), 0, 89).astype(int):
        lean, tall = rng.normal(0, 0.03), rng.uniform(0.08, 0.16)
        reed = ribbon(np.array([(0, 0.03), (lean * 0.3, -0.05), (lean, -tall)]), [0.008, 0.006, 0.001])
        easel.add(reed + bank[place], "grass black:0-.35", SMALL, angle=1.5)


def _near_trees(easel: Easel, horizon: float) -> None:
    """Trees stand to the sides more often than in the middle, where the view is."""
    rng = easel.rng
    for depth in np.sort(rng.uniform(0.15, 1, rng.integers(1, 4))):
        x, base = easel.aspect * (rng.beta(0.6, 0.6) * 1.04 - 0.02), horizon + 0.08 + (0.94 - horizon) * depth
        shadow = blob(rng, x - 0.05 * easel.lit_side, base, 0.1 * depth + 0.03, 0.012)
        easel.add(shadow, "grass black:.5", GLOW, soft=0.008)
        add_tree(easel, x, base, 0.2 + 0.5 * depth * rng.uniform(0.6, 1.1), haze=0.3 * (1 - depth))


def _grove(easel: Easel, horizon: float) -> None:
    """Many trees of one kind."""
    rng, kind = easel.rng, ("birch", "poplar", "round", "pine", "pine")[easel.rng.integers(5)]
    for depth in np.sort(rng.random(rng.integers(7, 13))):
        x, base = rng.uniform(-0.02, 1.02) * easel.aspect, horizon + 0.05 + 0.42 * depth
        add_tree(easel, x, base, 0.3 + 0.5 * depth, haze=0.35 * (1 - depth), kind=kind)


def _downs(easel: Easel, horizon: float) -> None:
    """Rolling fields with trees on their crests."""
    rng, count = easel.rng, easel.rng.integers(4, 7)
    for near in (np.arange(count) + 1) / count:
        level = horizon + (1.0 - horizon) * near**1.3 * 0.85 - 0.04
        line = ridge(rng, easel.aspect, level, 0.04 + 0.05 * near, waves=1.2, rough=0.25)
        field, air = down_to(line, 1.1), 0.65 * (1 - near)
        easel.add(field, f"land horizon:{air:.2f}", shade=0.16, angle=rng.normal(0, 0.35), detail=0.2 + 0.2 * near)
        for x, y in line[rng.integers(8, 82, rng.integers(0, 5))]:
            add_tree(easel, x, y + 0.02, 0.05 + 0.13 * near * rng.uniform(0.6, 1), haze=0.5 * (1 - near))


LAYERS = {
    "hills": _hills, "far_trees": _far_trees, "peaks": _peaks, "ground": _ground, "path": _path, "cottage": _cottage,
    "flowers": _flowers, "water": _water, "tarn": _tarn, "sails": _sails, "beach": _beach, "bank": _bank,
    "near_trees": _near_trees, "grove": _grove, "downs": _downs,
}  # fmt: skip
COMPOSITIONS = {
    "meadow": "hills ground path far_trees cottage flowers near_trees",
    "sea": "hills water sails beach",
    "lake": "hills far_trees water bank near_trees",
    "mountains": "peaks hills tarn near_trees near_trees",
    "hills": "downs cottage",
    "grove": "far_trees ground path grove",
}

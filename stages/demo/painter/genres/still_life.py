"""Still lifes: vessels, fruit, bread, flowers and books on a table before a wall.

In: an easel. Out: the still life on it.
"""

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import blob, ellipse, rectangle, ribbon
from stages.demo.painter.stencils import draw

ASPECTS = (0.8, 1.45)

# By composition: what stands behind, at least and less than how many, and what stands in front.
COMPOSITIONS = {
    "fruit": ("bottle jug", (0, 2), "bowl apple pear grapes"),
    "bottles": ("bottle bottle bottle jug", (2, 5), "cup apple books"),
    "flowers": ("vase", (1, 2), "pear books cup apple"),
    "breakfast": ("bottle jug vase", (1, 3), "cup cup loaf apple jug"),
    "mixed": ("bottle jug vase", (1, 3), "bowl apple cup loaf grapes books"),
}


def still_life(easel: Easel) -> None:
    """Compose a still life: the tall things stand behind, the small ones before."""
    rng, edge = easel.rng, easel.rng.uniform(0.5, 0.64)
    behind, counts, before = easel.choose("still_life", COMPOSITIONS)
    _room(easel, edge)
    if rng.random() < 0.6:
        _cloth(easel, edge)
    _set_out(easel, behind, edge + 0.08, int(rng.integers(*counts)), 1.15)
    for names, depth in ((before, 0.17), (f"apple pear {before}", 0.28)):
        _set_out(easel, names, edge + depth, int(rng.integers(1, 4)) + (easel.aspect > 1.1), 1.0)


def _set_out(easel: Easel, names: str, y: float, count: int, scale: float) -> None:
    """Put things side by side in a row, with uneven gaps."""
    rng, size = easel.rng, 0.3 * scale * min(1.0, easel.aspect)
    for place in rng.permutation(np.arange(count) + rng.uniform(0.3, 0.7, count)) / max(count, 1):
        name, x, foot = rng.choice(names.split()), easel.aspect * (0.14 + 0.72 * place), y + rng.normal(0, 0.02)
        wide, tall, grow = rng.uniform((0.85, 0.88, 0.85), 1.15)
        if name == "vase":
            _bouquet(easel, x, foot - 0.8 * size * grow * tall, size * grow)
        draw(easel, name, x, foot, size * grow, scale=(rng.choice([-1, 1]) * wide, tall))


def _bouquet(easel: Easel, x: float, y: float, size: float) -> None:
    """Flowers on stems with leaves, out of the neck of a vase at (x, y)."""
    rng, petals = easel.rng, [easel.tint("accent") for _ in range(3)]
    heads = np.stack([rng.normal(0, 0.3, 11), -rng.uniform(0.1, 0.85, 11)], axis=1) * size + (x, y)
    for head in heads:
        stem, leaf = np.array([(x, y + 0.1 * size), (x, y) + (head - (x, y)) * (0.4, 0.5), head]), "foliage black:.15"
        easel.add(ribbon(stem, 0.025 * size), leaf, "small", angle=1.5)
        easel.add(blob(rng, 0, 0, 0.16 * size, 0.07 * size) + (stem[1] + head) / 2, leaf, "solid", detail=0.5)
    for head in heads:
        radius, petal = size * rng.uniform(0.08, 0.15), petals[rng.integers(3)]
        easel.add(blob(rng, 0, 0, radius, radius, bumps=0.3) + head, petal, "sphere", shade=0.35, detail=0.7)
        easel.add(ellipse(0, 0, radius * 0.3, radius * 0.3, points=10) + head, "second", "small", angle=None)


def _room(easel: Easel, edge: float) -> None:
    """A wall, sometimes with a hanging, and the table."""
    rng, wide = easel.rng, easel.aspect + 0.1
    wall, wood = rectangle(-0.1, -0.1, wide, edge + 0.02), easel.tint("soil wood:.5 accent:.2")
    easel.add(wall, "wall dark:0-.3", "solid", angle=rng.uniform(0, 3), detail=0.05)
    if rng.random() < 0.35:
        left = rng.uniform(0, 0.7) * easel.aspect
        hanging = rectangle(left, rng.uniform(-0.1, 0.2), left + rng.uniform(0.2, 0.5), edge)
        easel.add(hanging, "accent wall:.4", "upright", shade=0.15, detail=0.1)
    easel.add(ellipse(easel.aspect * 0.5, edge - 0.15, 0.3, 0.25), "wall white:.5", "glow", opacity=0.3, soft=0.1)
    easel.add(rectangle(-0.1, edge, wide, 0.955), wood, "plain", detail=0.15)
    easel.add(rectangle(-0.1, 0.94, wide, 1.1), easel.tint("own black:.5", own=wood), detail=0.15)


def _cloth(easel: Easel, edge: float) -> None:
    """A cloth that lies on the table and hangs over its edge in folds."""
    rng, colour = easel.rng, easel.tint(f"light accent:{easel.rng.choice([0.08, 0.25, 0.85])}")
    left, skew = rng.uniform(-0.1, 0.5) * easel.aspect, rng.normal(0, 0.08)
    right = left + rng.uniform(0.4, 0.8) * easel.aspect
    hem = np.stack([np.linspace(right, left, 14), 1.0 + 0.03 * np.sin(np.linspace(0, 14, 14))], axis=1)
    far = [(left + skew, edge + 0.03), (right + skew, edge + 0.02)]
    easel.add(np.concatenate([far, hem]), colour, "solid", shade=0.1, angle=0.2)
    for x in rng.uniform(left, right, rng.integers(3, 8)):
        fold = ribbon(np.array([(x, rng.uniform(edge + 0.1, 0.85)), (x + 0.02, 0.93), (x, 1.03)]), [0.002, 0.02, 0.05])
        easel.add(fold, easel.tint("own black:.35", own=colour), "flat", angle=1.4, opacity=0.5)

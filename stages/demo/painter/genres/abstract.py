"""Abstracts: circles, bars, stacks of colour, drifting signs, waves, organic forms.

In: an easel. Out: the composition on it.
"""

from itertools import pairwise

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import arc, blob, down_to, ellipse, rectangle, ribbon, ridge
from stages.demo.painter.stencils import draw


def abstract(easel: Easel) -> None:
    """Compose an abstract picture."""
    ground = easel.rng.choice(["paper", "wall", "dark", "horizon"], p=[0.4, 0.3, 0.1, 0.2])
    field = rectangle(-0.1, -0.1, easel.aspect + 0.1, 1.1)
    easel.add(field, f"{ground} accent:.1", "solid", shade=0.08, angle=easel.rng.uniform(0, 3), detail=0.1)
    easel.choose("abstract", COMPOSITIONS)(easel)


def _circles(easel: Easel) -> None:
    """Discs of rings, cut into sectors of changing colour."""
    rng = easel.rng
    for size in -np.sort(-rng.uniform(0.1, 0.42, rng.integers(2, 6))):
        x, y = rng.uniform(0.1, 0.9) * easel.aspect, rng.uniform(0.12, 0.88)
        for radius in size * np.linspace(1, 0.2, rng.integers(3, 7)):
            easel.add(ellipse(x, y, radius, radius, points=40), "accent", "plain", angle=None)
            if rng.random() < 0.45:
                start = rng.choice(4) * np.pi / 2
                rim = arc(x, y, radius, start, start + np.pi * rng.choice([0.5, 1.0]))
                easel.add(np.concatenate([[(x, y)], rim]), "accent dark:0-.4", "plain", angle=None)


def _bars(easel: Easel) -> None:
    """A rectangle divided again and again, some panes coloured, with bars between them."""
    rng, panes = easel.rng, [np.array([(0, 0), (easel.aspect, 1)])]
    for _ in range(rng.integers(5, 12)):
        panes.sort(key=lambda pane: float(np.prod(pane[1] - pane[0]) * rng.random()))
        first = panes.pop()
        second, axis = first.copy(), int(np.argmax(first[1] - first[0]))
        first[1, axis] = second[0, axis] = first[0, axis] + np.ptp(first[:, axis]) * rng.uniform(0.25, 0.75)
        panes += [first, second]
    bar, wide = easel.tint("dark accent:.1"), rng.uniform(0.008, 0.025)
    for pane in panes:
        outline = rectangle(*pane.ravel())
        easel.add(outline, "accent" if rng.random() < 0.6 else "paper light:.5", "flat", angle=rng.choice([0.0, 1.5]))
        for start, end in pairwise([*outline, outline[0]]):
            easel.add(ribbon(np.array([start, end]), wide), bar, "flat", detail=0.4)


def _stack(easel: Easel) -> None:
    """Two to four soft-edged fields of colour over one another."""
    rng, count = easel.rng, int(easel.rng.integers(2, 5))
    cuts = np.linspace(0.06, 0.95, count + 1)
    cuts[1:-1] += rng.uniform(-0.35, 0.35, count - 1) / count
    left = rng.uniform(0.05, 0.1)
    for top, bottom in pairwise(cuts):
        middle, colour = (top + bottom) / 2, easel.tint("accent")
        line = np.stack([np.linspace(left, easel.aspect - left, 14), middle + rng.normal(0, 0.006, 14)], axis=1)
        field = ribbon(line, bottom - top - rng.uniform(0.02, 0.04, 14))
        easel.add(field, colour, "glow", opacity=0.5, soft=0.02)
        easel.add(field, colour, "plain", shade=0.14, angle=rng.normal(0, 0.3), detail=0.1, opacity=0.9)
        for y in (bottom - top) * rng.uniform(-0.35, 0.35, rng.integers(0, 4)):
            stripe = ribbon(line[1:-1] + np.array([0, y]), rng.uniform(0.005, 0.03))
            easel.add(stripe, easel.tint("own white:.1-.5", own=colour), "flat", opacity=0.7)


def _signs(easel: Easel) -> None:
    """Triangles, arcs, discs, beams and rows of bars that drift along one diagonal."""
    rng = easel.rng
    slope = rng.choice([-1, 1]) * rng.uniform(0.3, 0.9)
    for along in rng.uniform(-0.5, 0.5, rng.integers(9, 20)):
        x, y = easel.aspect * (0.5 + along) + rng.normal(0, 0.08), 0.5 + slope * along + rng.normal(0, 0.16)
        scale = rng.choice([-1, 1], 2) * rng.uniform(0.6, 1.4, 2)
        sign = rng.choice(["triangle", "bow", "disc", "beam", "fence"])
        draw(easel, sign, x, y, rng.gamma(3, 0.035), scale=scale)


def _waves(easel: Easel) -> None:
    """Bands that swing across the picture."""
    rng, count = easel.rng, easel.rng.integers(6, 14)
    for i in range(count):
        line = ridge(rng, easel.aspect, (i + 0.5) / count, 0.06, waves=1.5, rough=0.15)
        easel.add(down_to(line, 1.1), "accent" if i % 3 else "light zenith:0-1", shade=0.12, angle=rng.normal(0, 0.25))
        if rng.random() < 0.4:
            easel.add(ribbon(line, 0.008), "accent black:.5", "flat", detail=0.6)


def _forms(easel: Easel) -> None:
    """Swimming organic forms, one large, many small, with kernels inside and tails."""
    rng = easel.rng
    for size in [rng.uniform(0.22, 0.34), *rng.uniform(0.03, 0.16, rng.integers(5, 13))]:
        x, y = rng.uniform(0.12, 0.88) * easel.aspect, rng.uniform(0.12, 0.88)
        outline = blob(rng, x, y, size, size * rng.uniform(0.6, 1.1), bumps=0.3)
        easel.add(outline + np.array([0.015, 0.02]), "dark", "glow", opacity=0.3, soft=0.015)
        easel.add(outline, "accent", "sphere", shade=0.2, detail=0.3)
        if rng.random() < 0.7:
            easel.add(blob(rng, x, y, size * 0.4, size * 0.4, bumps=0.3), "accent", "sphere", shade=0.2)
        if rng.random() < 0.4:
            draw(easel, "tail", x, y, size, scale=rng.choice([-1, 1], 2))


COMPOSITIONS = {"circles": _circles, "bars": _bars, "stack": _stack, "signs": _signs, "waves": _waves, "forms": _forms}

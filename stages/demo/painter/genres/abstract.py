"""Abstracts: circles, bars, stacks of colour, drifting signs, waves, organic forms.

In: an easel. Out: the composition on it.
"""

import numpy as np

from stages.demo.painter.easel import FLAT, GLOW, PLAIN, SMALL, SOLID, SPHERE, Easel
from stages.demo.painter.outlines import arc, blob, down_to, ellipse, rectangle, ribbon, ridge

ASPECTS = (0.72, 1.4)


def abstract(easel: Easel) -> None:
    """Compose an abstract picture."""
    ground = easel.rng.choice(["paper", "wall", "dark", "horizon"], p=[0.4, 0.3, 0.1, 0.2])
    field = rectangle(-0.1, -0.1, easel.aspect + 0.1, 1.1)
    easel.add(field, f"{ground} accent:.1", SOLID, shade=0.08, angle=easel.rng.uniform(0, 3), detail=0.1)
    easel.one_of("abstract", COMPOSITIONS)(easel)


def _circles(easel: Easel) -> None:
    """Discs of rings, cut into sectors of changing colour."""
    rng = easel.rng
    for size in -np.sort(-rng.uniform(0.1, 0.42, rng.integers(2, 6))):
        x, y = rng.uniform(0.1, 0.9) * easel.aspect, rng.uniform(0.12, 0.88)
        for radius in size * np.linspace(1, 0.2, rng.integers(3, 7)):
            easel.add(ellipse(x, y, radius, radius, points=40), "accent", PLAIN, angle=None)
            if rng.random() < 0.45:
                start = rng.choice(4) * np.pi / 2
                rim = arc(x, y, radius, start, start + np.pi * rng.choice([0.5, 1.0]))
                easel.add(np.concatenate([[(x, y)], rim]), rng.choice(["accent", "accent dark:.4"]), PLAIN, angle=None)


def _bars(easel: Easel) -> None:
    """A rectangle divided again and again, some panes coloured, with bars between them."""
    rng, panes = easel.rng, [rectangle(0, 0, easel.aspect, 1)]
    for _ in range(rng.integers(5, 12)):
        areas = np.array([np.prod(np.ptp(pane, axis=0)) for pane in panes])
        pane = panes.pop(int(rng.choice(len(panes), p=areas / areas.sum())))
        (left, top), (right, bottom), cut = pane[0], pane[2], pane[0] + np.ptp(pane, axis=0) * rng.uniform(0.25, 0.75)
        if right - left > bottom - top:
            panes += [rectangle(left, top, cut[0], bottom), rectangle(cut[0], top, right, bottom)]
        else:
            panes += [rectangle(left, top, right, cut[1]), rectangle(left, cut[1], right, bottom)]
    tilt, bar, wide = (
        rng.choice([0.0, 0.0, rng.normal(0, 0.12)]),
        easel.tint("dark accent:.1"),
        rng.uniform(0.008, 0.025),
    )
    turn = np.array([(np.cos(tilt), np.sin(tilt)), (-np.sin(tilt), np.cos(tilt))]) * (1 + abs(tilt))
    middle = (easel.aspect / 2, 0.5)
    for pane in panes:
        outline = (pane - middle) @ turn + middle
        easel.add(outline, "accent" if rng.random() < 0.6 else "paper light:.5", FLAT, angle=rng.choice([0.0, 1.5]))
        for corner in range(4):
            easel.add(ribbon(outline.take([corner, corner + 1], axis=0, mode="wrap"), wide), bar, FLAT, detail=0.4)


def _stack(easel: Easel) -> None:
    """Two to four soft-edged fields of colour over one another."""
    rng, count = easel.rng, int(easel.rng.integers(2, 5))
    cuts = np.linspace(0.06, 0.95, count + 1)
    cuts[1:-1] += rng.uniform(-0.35, 0.35, count - 1) / count
    for top, bottom in zip(cuts, cuts[1:], strict=False):
        inset, colour = rng.uniform(0.05, 0.1), easel.tint("accent")
        left, right, steps = inset, easel.aspect - inset, np.linspace(0, 1, 14)
        upper = np.stack([left + (right - left) * steps, top + 0.015 + rng.normal(0, 0.006, 14)], axis=1)
        lower = np.stack([right - (right - left) * steps, bottom - 0.015 + rng.normal(0, 0.006, 14)], axis=1)
        field = np.concatenate([upper, lower])
        easel.add(field, colour, GLOW, opacity=0.5, soft=0.02)
        easel.add(field, colour, PLAIN, shade=0.14, angle=rng.normal(0, 0.3), detail=0.1, opacity=0.9)
        for y in top + (bottom - top) * rng.uniform(0.15, 0.85, rng.integers(0, 4)):
            line = np.array([(left + 0.03, y), (right - 0.03, y + rng.normal(0, 0.01))])
            lighter = easel.tint("own white:.1-.5", {"own": colour})
            easel.add(ribbon(line, rng.uniform(0.005, 0.03)), lighter, FLAT, opacity=0.7)


def _signs(easel: Easel) -> None:
    """Triangles, arcs, discs, beams and rows of bars that drift along one diagonal."""
    rng = easel.rng
    slope = rng.choice([-1, 1]) * rng.uniform(0.3, 0.9)
    for along in rng.uniform(-0.5, 0.5, rng.integers(9, 20)):
        x, y = easel.aspect * (0.5 + along) + rng.normal(0, 0.08), 0.5 + slope * along + rng.normal(0, 0.16)
        size, colour, start = rng.gamma(3, 0.035), easel.tint("accent dark:0-.5"), rng.uniform(0, 6)
        match rng.integers(5):
            case 0:
                easel.add(arc(x, y, size * 1.4, start, start + 4.2, points=3), colour, SOLID, detail=0.4)
            case 1:
                bow = arc(x, y, size * 1.6, start, start + rng.uniform(1.5, 4))
                easel.add(ribbon(bow, size * 0.15), colour, SMALL, angle=None)
            case 2:
                easel.add(ellipse(x, y, size * 1.5, size * 1.5), colour, GLOW, soft=size * 0.3)
                easel.add(ellipse(x, y, size, size), colour, SPHERE, shade=0.15)
            case 3:
                reach = rng.uniform(0.15, 0.5) * np.array([1, slope * rng.choice([-1, 1])])
                beam = ribbon(np.array([(x, y) - reach, (x, y) + reach]), size * 0.13)
                easel.add(beam, colour, SMALL, angle=float(np.arctan2(*reach[::-1])))
            case _:
                for left in x + np.arange(rng.integers(2, 6)) * size * 0.4:
                    easel.add(rectangle(left, y, left + size * 0.25, y + size * 0.9), "accent", PLAIN, detail=0.5)


def _waves(easel: Easel) -> None:
    """Bands that swing across the picture."""
    rng, count = easel.rng, easel.rng.integers(6, 14)
    for i in range(count):
        line = ridge(rng, easel.aspect, (i + 0.5) / count, 0.06, waves=1.5, rough=0.15)
        easel.add(down_to(line, 1.1), "accent" if i % 3 else "light zenith:0-1", shade=0.12, angle=rng.normal(0, 0.25))
        if rng.random() < 0.4:
            easel.add(ribbon(line, 0.008), "accent black:.5", FLAT, detail=0.6)


def _forms(easel: Easel) -> None:
    """Swimming organic forms, one large, many small, with kernels inside and tails."""
    rng = easel.rng
    for size in [rng.uniform(0.22, 0.34), *rng.uniform(0.03, 0.16, rng.integers(5, 13))]:
        x, y = rng.uniform(0.12, 0.88) * easel.aspect, rng.uniform(0.12, 0.88)
        easel.add(blob(rng, x + 0.015, y + 0.02, size, size, bumps=0.3), "dark", GLOW, opacity=0.3, soft=0.015)
        easel.add(
            blob(rng, x, y, size, size * rng.uniform(0.6, 1.1), bumps=0.3), "accent", SPHERE, shade=0.2, detail=0.3
        )
        if rng.random() < 0.7:
            easel.add(blob(rng, x, y, size * 0.4, size * 0.4, bumps=0.3), "accent", SPHERE, shade=0.2)
        if rng.random() < 0.4:
            tail = np.stack([x + np.linspace(0, size * 2, 10), y + size * 0.4 * np.sin(np.linspace(0, 5, 10))], axis=1)
            easel.add(ribbon(tail, np.linspace(0.015, 0.002, 10)), "dark", SMALL)


COMPOSITIONS = {"circles": _circles, "bars": _bars, "stack": _stack, "signs": _signs, "waves": _waves, "forms": _forms}

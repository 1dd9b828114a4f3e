"""Stencils: what the genres draw from, read from stencils.txt, which says how its rows are written.

In: the text; the name of a stencil and where it stands. Out: more shapes on the easel.
Which things a picture shows is left to the genres.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.demo.painter.easel import FINISHES, Easel, Finish, Tint
from stages.demo.painter.outlines import arc, blob, ellipse, mirrored, path, rectangle, ribbon, smoothed


@dataclass(frozen=True)
class Part:
    """One area of a stencil, in the stencil's unit; `lit` parts on the right are moved to the side of the light, and
    parts `stray` from their place, by this standard deviation."""

    outline: np.ndarray
    tint: str
    finish: Finish
    chance: float
    stray: float
    lit: bool


def _outlines(kind: str, text: str) -> Iterator[np.ndarray]:
    """The outlines of a row; `balls` and `lumps` have several."""
    first, _, rest = text.partition(" ")
    if kind == "balls":
        yield from (ellipse(x, y, float(first), float(first)) for x, y in path(rest))
    elif kind == "lumps":
        height, _, middles = rest.partition(" ")
        for number, (x, y) in enumerate(path(middles)):
            yield blob(np.random.default_rng(number), x, y, float(first), float(height))
    elif kind == "line":
        yield ribbon(path(rest), [*map(float, first.split("/"))])
    elif kind == "bow":
        yield ribbon(arc(*map(float, rest.split())), [float(first)])
    elif kind == "ellipse":
        yield ellipse(*map(float, text.split()))
    elif kind == "rect":
        yield rectangle(*map(float, text.split()))
    else:
        points = mirrored(path(text)) if kind in ("mirror", "bulge") else path(text)
        yield smoothed(points) if kind in ("curve", "bulge") else points


def _parts(row: str) -> Iterator[Part]:
    look, tint, shape = (cell.strip() for cell in row.split("|"))
    name, *words = look.split()
    changes: dict[str, Any] = dict(word.split("=") for word in words if "=" in word)
    chance, gradient = float(changes.pop("chance", 1)), changes.pop("gradient", FINISHES[name].gradient)
    stray = float(changes.pop("stray", 0))
    changes = {key: None if value == "none" else float(value) for key, value in changes.items()}
    finish = replace(FINISHES[name], gradient=gradient, **changes)
    return (
        Part(outline, tint, finish, chance, stray, "lit" in words) for outline in _outlines(*shape.split(maxsplit=1))
    )


def _read(text: str) -> dict[str, tuple[str, list[Part]]]:
    """Own colour and parts of each stencil."""
    stencils: dict[str, tuple[str, list[Part]]] = {}
    for block in re.split(r"\n(?=\w)", re.sub(r"(?m)^#.*\n", "", text).strip()):
        head, *rows = block.strip().splitlines()
        name, _, own = head.partition(": ")
        stencils[name] = own, [part for row in rows for part in _parts(row)]
    return stencils


STENCILS = _read(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"))


def draw(
    easel: Easel, stencil: str, x: float, y: float, size: float, *, scale: Iterable[float] = (1, 1), **own: Tint
) -> None:
    """Draw a stencil with its origin at (x, y), stretched by `scale`; `own` colours are mixed once for all parts."""
    default, parts = STENCILS[stencil]
    tints: dict[str, Tint] = {"own": default, **own} if default else own
    colours, stretched = {name: easel.tint(tint) for name, tint in tints.items()}, size * np.array([*scale])
    for part in parts:
        if part.chance == 1 or easel.rng.random() < part.chance:
            outline = part.outline + (easel.rng.normal(0, part.stray, 2) if part.stray else 0.0)
            outline = outline * (np.abs(stretched) * (easel.lit_side, 1) if part.lit else stretched) + (x, y)
            easel.add(outline, easel.tint(part.tint, **colours), part.finish, soft=part.finish.soft * size)

"""Polygons: the picture falls into hard facets, each a plane with its own tone, some seen from a shifted viewpoint.

In: a scene. Out: a picture of some hundred facets.
"""

import numpy as np
from PIL import Image, ImageDraw

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import as_fill, luminance
from stages.demo.painter.scene import Raster, Scene, rasterise
from stages.demo.painter.styles.strokes import bytes_of, with_contrast


def polygons(rng: np.random.Generator, scene: Scene, mood: Mood, size: tuple[int, int]) -> Image.Image:
    """Paint with facets."""
    small = (size[0] * 5 // 8, size[1] * 5 // 8)
    raster = rasterise(scene, small)
    directions = rng.uniform(0, np.pi) + np.array([0, 0.55, 1.2, 1.9]) + rng.normal(0, 0.1, 4)
    planes = _split(rng, small, directions, int(rng.integers(6, 14)), None)
    shifted = _seen_from_shifted_viewpoints(rng, raster.colour, planes, small)
    facets = _split(rng, small, directions, int(rng.integers(190, 380) / mood.brush), raster)
    colour = _facet_colours(rng, shifted, facets, small, mood)
    image = Image.fromarray(bytes_of(colour)).resize(size, Image.Resampling.BICUBIC)
    _draw_edges(rng, image, facets, mood, size[0] / small[0])
    return image


def _split(
    rng: np.random.Generator, size: tuple[int, int], directions: np.ndarray, count: int, raster: Raster | None
) -> list[np.ndarray]:
    """Cut the picture along a few directions until there are `count` convex pieces, each shape `(n, 2)`, pixels.

    The largest piece is cut first; pieces with detail count as larger than they are.
    """
    width, height = size
    pieces = [np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=float)]
    weights = [np.inf]
    tone = None if raster is None else luminance(raster.colour)
    while len(pieces) < count:
        largest = int(np.argmax(weights))
        piece = pieces.pop(largest)
        weights.pop(largest)
        angle = directions[rng.integers(len(directions))] + rng.normal(0, 0.08)
        centre = rng.dirichlet(np.full(len(piece), 3.0)) @ piece
        for half in _cut(piece, centre, np.array([np.cos(angle), np.sin(angle)])):
            if len(half) >= 3:
                pieces.append(half)
                weights.append(_weight(half, raster, tone))
    return pieces


def _cut(piece: np.ndarray, point: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide a convex polygon by the line through `point` with this normal."""
    side = (piece - point) @ normal
    following, side_following = np.roll(piece, -1, axis=0), np.roll(side, -1)
    front, back = [], []
    for here, there, s, t in zip(piece, following, side, side_following, strict=True):
        (front if s >= 0 else back).append(here)
        if (s >= 0) != (t >= 0):
            crossing = here + (there - here) * (s / (s - t))
            front.append(crossing)
            back.append(crossing)
    return np.array(front), np.array(back)


def _area(piece: np.ndarray) -> float:
    """Area of a polygon by the shoelace formula, in plain floats: facets have too few corners for arrays to pay."""
    corners = piece.tolist()
    return 0.5 * abs(sum(x * v - u * y for (x, y), (u, v) in zip(corners, corners[1:] + corners[:1], strict=True)))


def _weight(piece: np.ndarray, raster: Raster | None, tone: np.ndarray | None) -> float:
    """Area, multiplied where the scene has detail or its tone, shape `(height, width)`, changes within the piece."""
    area = _area(piece)
    if raster is None or tone is None:
        return area
    centre = piece.sum(axis=0) / len(piece)
    points = np.concatenate([piece * 0.75 + centre * 0.25, [centre]]).astype(int)
    width, height = raster.size
    rows, columns = np.minimum(points[:, 1], height - 1), np.minimum(points[:, 0], width - 1)
    tones = tone[rows, columns]
    return area * (0.12 + 3.5 * float(tones.max() - tones.min()) + float(raster.detail[rows[-1], columns[-1]]))


def _index_map(pieces: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Which piece each pixel belongs to, shape `(height, width)`, int32."""
    image = Image.new("I", size)
    draw = ImageDraw.Draw(image)
    for index, piece in enumerate(pieces):
        draw.polygon(piece.ravel().tolist(), fill=index)
    return np.asarray(image)


def _seen_from_shifted_viewpoints(
    rng: np.random.Generator, colour: np.ndarray, planes: list[np.ndarray], size: tuple[int, int]
) -> np.ndarray:
    """Within each plane the scene is displaced a little, as if the painter had moved."""
    width, height = size
    index = _index_map(planes, size)
    reach = rng.uniform(0.006, 0.024) * max(size)
    offset = rng.normal(0, reach, (2, len(planes))).astype(np.int32)
    rows = np.clip(np.arange(height, dtype=np.int32)[:, None] + offset[0][index], 0, height - 1)
    columns = np.clip(np.arange(width, dtype=np.int32) + offset[1][index], 0, width - 1)
    tone = rng.normal(0, 0.045, len(planes)).astype(np.float32)
    return colour[rows, columns] + tone.take(index)[..., None]


def _facet_colours(
    rng: np.random.Generator, colour: np.ndarray, facets: list[np.ndarray], size: tuple[int, int], mood: Mood
) -> np.ndarray:
    """Every facet has the mean colour of what lies below it, through which the forms' edges still show, and falls off
    in tone towards one side."""
    index = _index_map(facets, size)
    flat, count = index.ravel(), len(facets)
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    mean = np.stack([np.bincount(flat, colour[..., c].ravel(), count) / pixels for c in range(3)], axis=1)
    mean = (
        with_contrast(mean, mood.artist.contrast * 1.12, 1.15)
        + rng.normal(0, 0.03, (count, 1))
        + rng.normal(0, 0.012, (count, 3))
    )
    angle = rng.normal(mood.light_rad, 0.7, count)
    steep = rng.uniform(0.05, 0.3, count) / np.sqrt([max(_area(facet), 1.0) for facet in facets])
    across, down = (np.cos(angle) * steep).astype(np.float32), (np.sin(angle) * steep).astype(np.float32)
    centre = np.array([facet.mean(axis=0) for facet in facets]).astype(np.float32)
    x, y = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)[:, None]
    # across * (x - centre) + down * (y - centre), with what does not depend on the pixel taken out of the lookup
    constant = across * centre[:, 0] + down * centre[:, 1]
    fall = np.clip(across.take(index) * x + down.take(index) * y - constant.take(index), -0.16, 0.16)
    kept = rng.uniform(0.3, 0.75)
    forms = with_contrast(colour, mood.artist.contrast * 1.12, 1.1)
    return mean.astype(np.float32).take(index, axis=0) * (1 - kept) + forms * kept + fall[..., None]


def _draw_edges(
    rng: np.random.Generator, image: Image.Image, facets: list[np.ndarray], mood: Mood, scale: float
) -> None:
    """Some facets are outlined, dark or light."""
    draw = ImageDraw.Draw(image, "RGBA")
    share, dark, light = rng.uniform(0.1, 0.75), as_fill(mood.dark, 0.7), as_fill(mood.light, 0.5)
    for facet in facets:
        if rng.random() < share:
            corners = facet[: int(rng.integers(2, len(facet) + 1))] * scale
            draw.line(
                corners.ravel().tolist(), fill=dark if rng.random() < 0.75 else light, width=int(rng.integers(1, 4))
            )

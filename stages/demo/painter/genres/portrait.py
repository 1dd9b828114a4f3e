"""Portraits: a head and shoulders before a background.

In: a mood and the picture's shape. Out: a scene.
The head itself is left to `face`.
"""

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, from_hex, jittered, lighter, mix
from stages.demo.painter.genres.face import Sitter, add_beard, add_features, add_front_hair, add_head
from stages.demo.painter.genres.landscape import COMPOSE as LANDSCAPES
from stages.demo.painter.genres.things import add_sky
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import blob, ellipse, rectangle, ribbon, smoothed

COMPOSITIONS = ("plain", "plain", "hat", "beard", "curtain", "window", "outdoors")
ASPECTS = (0.66, 0.95)
SKINS = ("f3cfb0", "e8b894", "d09a70", "a8714a", "7c4c30", "f0c8b8", "bb8660")
HAIRS = ("2a1d18", "4b2f20", "7b4a28", "b98748", "a8a29a", "1c1a22", "8e3b22", "dcc28a")


def portrait(rng: np.random.Generator, mood: Mood, aspect: float) -> Scene:
    """Compose a portrait."""
    scene = Scene(aspect, mood.light_rad)
    kind = mood.composition(rng, "portrait", COMPOSITIONS)
    size = rng.uniform(0.15, 0.24)
    sitter = Sitter(
        x=aspect * rng.normal(0.5, 0.05),
        y=rng.uniform(0.36, 0.46),
        size=min(size, aspect * 0.3),
        turn=rng.uniform(-0.5, 0.5),
        skin=jittered(rng, mix(from_hex(SKINS[rng.integers(len(SKINS))]), mood.light, rng.uniform(0, 0.15)), 0.02),
        hair=jittered(rng, mix(from_hex(HAIRS[rng.integers(len(HAIRS))]), mood.dark, 0.15), 0.02),
        shade_side=-1.0 if np.cos(mood.light_rad) > 0 else 1.0,
    )
    _add_background(rng, scene, mood, kind)
    long_hair = kind != "beard" and rng.random() < 0.6
    _add_back_hair(rng, scene, sitter, long_hair)
    _add_bust(rng, scene, mood, sitter)
    add_head(rng, scene, mood, sitter)
    add_features(rng, scene, mood, sitter)
    if kind == "beard":
        add_beard(rng, scene, sitter)
    add_front_hair(rng, scene, sitter, long_hair)
    if kind == "hat" or rng.random() < 0.1:
        _add_hat(rng, scene, mood, sitter)
    return scene


def _add_background(rng: np.random.Generator, scene: Scene, mood: Mood, kind: str) -> None:
    wide = scene.aspect + 0.1
    wall = mix(mood.wall, mood.dark, 0.5 if mood.night else rng.uniform(0, 0.25))
    if kind == "outdoors":
        add_sky(rng, scene, mood, 0.6)
        LANDSCAPES[("hills", "sea", "lake")[rng.integers(3)]](rng, scene, mood, rng.uniform(0.5, 0.65))
        return
    scene.add(
        rectangle(-0.1, -0.1, wide, 1.1),
        lighter(wall, 0.15),
        to=darker(wall, 0.3),
        gradient=scene.light + np.pi,
        angle=rng.uniform(0, 3),
        detail=0.05,
    )
    if kind == "curtain":
        side = rng.choice([-0.05, scene.aspect - 0.3])
        colour = mood.accent(rng)
        for fold in np.sort(rng.uniform(0, 0.32, 7)):
            path = np.stack(
                [side + fold + 0.02 * np.sin(np.linspace(0, 3, 8) + fold * 20), np.linspace(-0.1, 1.1, 8)], axis=1
            )
            scene.add(
                ribbon(path, 0.09), darker(colour, rng.uniform(0, 0.3)), shade=0.2, gradient=0.0, angle=1.5, detail=0.2
            )
    elif kind == "window":
        left, top = rng.choice([0.04, scene.aspect - 0.3]), rng.uniform(0.06, 0.16)
        scene.add(
            rectangle(left - 0.02, top - 0.02, left + 0.28, top + 0.4),
            mix(mood.light, mood.wall, 0.3),
            shade=0.1,
            detail=0.3,
        )
        scene.add(rectangle(left, top, left + 0.26, top + 0.38), mood.sky[0], to=mood.sky[1], detail=0.2)
        scene.add(blob(rng, left + 0.13, top + 0.33, 0.12, 0.045), mood.land[1], shade=0.2, detail=0.4)
        scene.add(rectangle(left + 0.125, top, left + 0.135, top + 0.38), mood.light, shade=0.1, angle=1.5, detail=0.5)
    elif rng.random() < 0.5:
        scene.add(
            rectangle(-0.1, rng.uniform(0.62, 0.8), wide, 1.1), darker(mood.accent(rng), 0.3), shade=0.15, detail=0.1
        )
    scene.add(ellipse(scene.aspect / 2, 0.4, 0.35, 0.35), lighter(wall, 0.4), shade=0, opacity=0.35, soft=0.1)


def _add_back_hair(rng: np.random.Generator, scene: Scene, sitter: Sitter, long_hair: bool) -> None:
    if long_hair:
        fall = rng.uniform(1.1, 2.1)
        outline = [
            (-0.5, -1.0),
            (0, -1.25),
            (0.5, -1.0),
            (0.95, -0.2),
            (1.0, 0.6),
            (0.85, fall),
            (-0.85, fall),
            (-1.0, 0.6),
            (-0.95, -0.2),
        ]
        outline = np.array(outline) * rng.uniform(0.9, 1.05, (9, 1))
    else:
        outline = ellipse(0, -0.22, 0.88, 0.95)
    scene.add_solid(sitter.place(smoothed(outline)), darker(sitter.hair, 0.2), shade=0.2, angle=1.4, detail=0.35)
    if rng.random() < 0.2:
        scene.add_solid(sitter.place(ellipse(0.1, -1.25, 0.4, 0.34)), sitter.hair, shade=0.3, angle=None, detail=0.35)


def _add_bust(rng: np.random.Generator, scene: Scene, mood: Mood, sitter: Sitter) -> None:
    """Shoulders, clothes, neck, and what is worn around it."""
    cloth = mix(mood.accent(rng), mood.dark, rng.uniform(0, 0.45))
    wide, slope = rng.uniform(1.6, 2.1), rng.uniform(1.55, 1.8)
    shoulders = smoothed(
        [
            (-0.4, 1.25),
            (-wide * 0.75, slope),
            (-wide, 2.3),
            (-wide * 1.05, 6),
            (wide * 1.05, 6),
            (wide, 2.3),
            (wide * 0.75, slope),
            (0.4, 1.25),
        ]
    )
    scene.add_solid(sitter.place(shoulders), cloth, shade=0.28, angle=1.1, detail=0.25)
    neck = [(-0.36, 0.5), (0.36, 0.5), (0.4, 1.35), (0.62, 1.62), (0, 1.95), (-0.62, 1.62), (-0.4, 1.35)]
    scene.add(sitter.place(neck), darker(sitter.skin, 0.14), to=sitter.skin, angle=1.5, detail=0.4)
    scene.add(
        sitter.place(ellipse(0.1 * sitter.shade_side, 1.05, 0.42, 0.22)),
        darker(sitter.skin, 0.5),
        shade=0,
        opacity=0.55,
        soft=sitter.size * 0.1,
    )
    _add_collar(rng, scene, mood, sitter, cloth)


def _add_collar(rng: np.random.Generator, scene: Scene, mood: Mood, sitter: Sitter, cloth: np.ndarray) -> None:
    """Lapels, a scarf, beads, a roll neck, or nothing."""
    collar = rng.integers(5)
    trim = mix(mood.light, mood.accent(rng), rng.choice([0.05, 0.6]))
    if collar == 0:
        for side in (-1, 1):
            lapel = np.array([(0.42, 1.3), (0.95, 1.75), (0.2, 2.6), (0.02, 2.1)]) * (side, 1)
            scene.add_solid(sitter.place(lapel), trim, shade=0.18, angle=1.0, detail=0.5)
    elif collar == 1:
        scarf = smoothed([(-0.62, 1.2), (0, 1.42), (0.62, 1.2), (0.78, 1.55), (0.1, 1.95), (-0.75, 1.6)])
        scene.add_solid(sitter.place(scarf), trim, shade=0.25, angle=0.3, detail=0.5)
        scene.add_solid(
            sitter.place([(0.1, 1.8), (0.45, 1.75), (0.55, 2.8), (0.15, 2.85)]),
            darker(trim, 0.1),
            shade=0.25,
            angle=1.4,
            detail=0.5,
        )
    elif collar == 2:
        for angle in np.linspace(0.35, np.pi - 0.35, 13):
            bead = ellipse(0.62 * np.cos(angle), 1.32 + 0.42 * np.sin(angle), 0.065, 0.065, points=12)
            scene.add_sphere(sitter.place(bead), trim, detail=0.9)
    elif collar == 3:
        scene.add_solid(
            sitter.place(smoothed([(-0.5, 0.98), (0.5, 0.98), (0.62, 1.55), (0, 1.75), (-0.62, 1.55)])),
            lighter(cloth, 0.12),
            shade=0.25,
            angle=0.1,
            detail=0.4,
        )


def _add_hat(rng: np.random.Generator, scene: Scene, mood: Mood, sitter: Sitter) -> None:
    colour, band = mood.accent(rng), mood.accent(rng)
    tip = rng.uniform(-0.12, 0.12)
    if rng.random() < 0.6:
        crown = smoothed([(-0.68, -0.6), (-0.6, -1.3), (0, -1.45), (0.6, -1.3), (0.68, -0.6)], 1)
        scene.add_solid(sitter.place(crown), colour, shade=0.22, angle=0.2, detail=0.35)
        scene.add_solid(
            sitter.place([(-0.68, -0.85), (0.68, -0.85), (0.7, -0.6), (-0.7, -0.6)]), band, shade=0.2, detail=0.5
        )
        scene.add_solid(
            sitter.place(ellipse(0, -0.56, 1.3, 0.24, turn=tip)),
            lighter(colour, 0.08),
            shade=0.25,
            angle=tip,
            detail=0.4,
        )
    else:
        beret = smoothed([(-0.85, -0.5), (-1.05, -0.95), (-0.3, -1.4), (0.6, -1.3), (1.0, -0.8), (0.8, -0.5)])
        scene.add_sphere(sitter.place(beret + np.array([tip, 0])), colour, detail=0.35)

"""The painter's own language: tints mix named colours, stencils are read from text and stretched to their place."""

import numpy as np
import pytest

from stages.demo.painter.artists import ARTISTS, vary_artist
from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import ellipse, mirrored, path, ridge
from stages.demo.painter.stencils import STENCILS, draw


@pytest.fixture
def easel() -> Easel:
    rng = np.random.default_rng(3)
    return Easel(rng, vary_artist(rng, ARTISTS[0]), 1.2)


def test_a_tint_mixes_its_colours_in_turn(easel: Easel) -> None:
    red, blue = np.array([1, 0, 0], np.float32), np.array([0, 0, 1], np.float32)
    np.testing.assert_allclose(easel.tint("red blue:.25", red=red, blue=blue), [0.75, 0, 0.25], rtol=1e-6)
    np.testing.assert_allclose(easel.tint("red blue:.5 red:.5", red=red, blue=blue), [0.75, 0, 0.25], rtol=1e-6)


def test_a_tint_with_a_range_stays_within_it(easel: Easel) -> None:
    black, white = np.zeros(3, np.float32), np.ones(3, np.float32)
    shares = [easel.tint("black white:.2-.6", black=black, white=white)[0] for _ in range(200)]
    assert 0.2 <= min(shares) < 0.25
    assert 0.55 < max(shares) <= 0.6


def test_a_stencil_is_stretched_to_its_place_and_its_lit_parts_face_the_light(easel: Easel) -> None:
    draw(easel, "shadow", 0.6, 0.8, 0.5, scale=(2, 1))
    draw(easel, "jug", 0.6, 0.8, 0.5, scale=(2, 1))
    shapes = dict(zip(("shadow", "handle", "body", "lip", "gleam"), easel.shapes, strict=True))
    body = STENCILS["jug"][1][1].outline
    np.testing.assert_allclose(shapes["body"].outline, body * (1.0, 0.5) + (0.6, 0.8))
    assert np.sign(shapes["gleam"].outline[:, 0].mean() - 0.6) == easel.lit_side
    assert np.sign(shapes["shadow"].outline[:, 0].mean() - 0.6) == -easel.lit_side


def test_every_stencil_but_the_bare_neck_has_parts() -> None:
    assert {name for name, (_, parts) in STENCILS.items() if not parts} == {"bare"}
    assert all(part.outline.shape[1] == 2 for _, parts in STENCILS.values() for part in parts)


def test_outlines_are_closed_around_what_they_name() -> None:
    assert mirrored(path("0 -1, .5 0, 0 1")).sum(axis=0).tolist() == [0, 0]
    outline = ellipse(2, 1, 0.5, 0.25)
    np.testing.assert_allclose(((outline - (2, 1)) / (0.5, 0.25)) ** 2 @ [1, 1], 1)
    line = ridge(np.random.default_rng(0), 1.5, 0.4, 0.1, rough=0.5)
    assert (line[0, 0], line[-1, 0]) == (-0.05, 1.55)
    assert np.ptp(line[:, 1]) > 0.05

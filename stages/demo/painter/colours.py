"""Colours as float triples, and the few ways in which a painter mixes them.

In and out: RGB arrays of shape `(3,)` or `(..., 3)`, float32, 0 (dark) to 1 (light), in sRGB.
Which colours go together is left to the artists' palettes.
"""

import numpy as np

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def from_hex(text: str) -> np.ndarray:
    """Turn `"c04a2f"` into a colour.

    Examples
    --------
    >>> from_hex("ff0000").tolist()
    [1.0, 0.0, 0.0]
    """
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8).astype(np.float32) / 255


def mix(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Blend two colours; `share` is the part of the second, 0 to 1."""
    return (first + (second - first) * share).astype(np.float32)


def lighter(colour: np.ndarray, share: float) -> np.ndarray:
    """Mix in warm white."""
    return mix(colour, np.array([1.0, 0.98, 0.92], dtype=np.float32), share)


def darker(colour: np.ndarray, share: float) -> np.ndarray:
    """Mix in a cool near-black: shadows in paintings are seldom neutral."""
    return mix(colour, np.array([0.05, 0.05, 0.12], dtype=np.float32), share)


def jittered(rng: np.random.Generator, colour: np.ndarray, amount: float) -> np.ndarray:
    """Vary a colour: mostly its lightness, a little its hue."""
    shift = rng.normal(0, amount) + rng.normal(0, amount * 0.6, 3)
    return np.clip(colour + shift, 0, 1).astype(np.float32)


def luminance(colour: np.ndarray) -> np.ndarray:
    """Lightness of colours, shape `(..., 3)` to `(...)`."""
    return colour @ LUMINANCE


def saturated(colour: np.ndarray, factor: float) -> np.ndarray:
    """Move colours away from (factor > 1) or towards (< 1) grey of the same lightness."""
    grey = luminance(colour)[..., None]
    return np.clip(grey + (colour - grey) * factor, 0, 1).astype(np.float32)


def as_fill(colour: np.ndarray, opacity: float = 1.0) -> tuple[int, int, int, int]:
    """A colour as Pillow's drawing functions take it."""
    red, green, blue = (round(value) for value in np.clip(colour, 0, 1).astype(float) * 255)
    return red, green, blue, round(255 * opacity)

"""Colours as float triples, and the few ways in which a painter changes them.

In and out: RGB arrays of shape `(3,)` or `(..., 3)`, float32, 0 (dark) to 1 (light), in sRGB.
Which colours go together is left to the artists' palettes.
"""

import numpy as np

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def bytes_of(colour: np.ndarray) -> np.ndarray:
    """Float colours as uint8."""
    return np.asarray(np.clip(colour, 0, 1) * 255 + 0.5, np.uint8)


def mix(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Blend two colours; `share` is the part of the second, 0 to 1."""
    return np.asarray(first + (second - first) * share, np.float32)


def jittered(rng: np.random.Generator, colour: np.ndarray, amount: float) -> np.ndarray:
    """Vary a colour: mostly its lightness, a little its hue."""
    shift = rng.normal(0, amount) + rng.normal(0, amount * 0.6, 3)
    return np.clip(colour + shift, 0, 1).astype(np.float32)


def luminance(colour: np.ndarray) -> np.ndarray:
    """Lightness of colours, shape `(..., 3)` to `(...)`."""
    return np.asarray(colour @ LUMINANCE)


def saturated(colour: np.ndarray, factor: float) -> np.ndarray:
    """Move colours away from (factor > 1) or towards (< 1) grey of the same lightness."""
    grey = luminance(colour)[..., None]
    return np.asarray(np.clip(grey + (colour - grey) * factor, 0, 1), np.float32)


def with_contrast(colour: np.ndarray, contrast: float, saturation: float = 1.0) -> np.ndarray:
    """Spread tones around middle grey and colours around grey; the shape `(..., 3)` is kept."""
    return saturated(np.clip((colour - 0.5) * contrast + 0.5, 0, 1), saturation)

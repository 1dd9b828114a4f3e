"""Write small ICC profiles (version 2): of wide-gamut RGB spaces, of grey, and of printing inks.

In: primaries, white and curve; or a gamma; or an ink's colours in Lab. Out: a profile's bytes, which the tests embed in
images and `colour.py` in made scans. The layout is that of ICC.1:2001-04.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
CURVE_POINTS = 4096


class Space(NamedTuple):
    """An RGB space.

    Attributes
    ----------
    primaries
        Chromaticities x, y of red, green and blue.
    white
        That of white.
    gamma
        Exponent of its curve; None is sRGB's curve.
    """

    primaries: tuple[tuple[float, float], ...]
    white: tuple[float, float]
    gamma: float | None


SRGB = Space(((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), D65, None)
ADOBE_RGB = Space(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, 563 / 256)
DISPLAY_P3 = Space(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), D65, None)
PROPHOTO = Space(((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585), 1.8)


def rgb_profile(space: Space) -> bytes:
    """Write the profile of an RGB space."""
    colorants = matrix_to_d50(space)
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants.T, strict=True)}
    curve = _curve(space.gamma)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(gamma: float | None) -> bytes:
    """Write the profile of grey with a gamma; None is sRGB's curve."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile(lab_of: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Write the profile of four inks.

    Parameters
    ----------
    lab_of
        From amounts of ink, `(16, 4)` of 0 and 1, to Lab, `(16, 3)`; between them lies what the table's points span.
    """
    inks = np.array(list(np.ndindex(2, 2, 2, 2)), float)
    levels = np.round(lab_of(inks) * (2.55, 1, 1) + (0, 128, 128)).clip(0, 255).astype(np.uint8)
    identity = np.arange(256, dtype=np.uint8).tobytes()
    matrix = struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel())
    table = b"mft1" + struct.pack(">4xBBBx", 4, 3, 2) + matrix + 4 * identity + levels.tobytes() + 3 * identity
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def matrix_to_d50(space: Space) -> np.ndarray:
    """Linear RGB to XYZ relative to D50, `(3, 3)`: the columns are the colorants."""
    white = _xyz_of(space.white)
    primaries = np.array([_xyz_of(xy) for xy in space.primaries]).T
    to_xyz = primaries * np.linalg.solve(primaries, white)
    adapted = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.linalg.solve(BRADFORD, adapted @ BRADFORD @ to_xyz)


def decode_curve(values: np.ndarray, gamma: float | None) -> np.ndarray:
    """From values of 0 to 1 to light."""
    if gamma is not None:
        return values**gamma
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode_curve(light: np.ndarray, gamma: float | None) -> np.ndarray:
    """From light to values of 0 to 1; what is outside is clipped."""
    light = light.clip(0, 1)
    if gamma is not None:
        return light ** (1 / gamma)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def between_spaces(levels: np.ndarray, source: Space, target: Space) -> np.ndarray:
    """Convert 8-bit RGB, `(…, 3)`, from one space to another by the formulas, without rounding."""
    light = decode_curve(levels / 255, source.gamma) @ matrix_to_d50(source).T
    return 255 * encode_curve(light @ np.linalg.inv(matrix_to_d50(target)).T, target.gamma)


def _xyz_of(xy: tuple[float, float]) -> np.ndarray:
    x, y = xy
    return np.array([x / y, 1, (1 - x - y) / y])


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv" + struct.pack(">4xLH", 1, round(gamma * 256))
    light = decode_curve(np.linspace(0, 1, CURVE_POINTS), None)
    return b"curv" + struct.pack(">4xL", CURVE_POINTS) + np.round(light * 65535).astype(">u2").tobytes()


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + struct.pack(">4x3i", *(round(float(value) * 65536) for value in values))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Header, table of tags, and the tags' data, each at a multiple of four bytes."""
    description = b"desc" + struct.pack(">4xL", 5) + b"made\0" + bytes(78)
    tags = {b"desc": description, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": _xyz(D50)} | tags
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">L", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">LL", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">L4xL4s4s4s12x4s", start + len(data), 0x02400000, kind, space, connection, b"acsp")
    header += struct.pack(">4x4x8x8xL", 0) + _xyz(D50)[8:]
    return header.ljust(128, b"\0") + table + data

"""Keys: the SHA-256 of an image file's bytes as 64 lower-case hexadecimal digits, and tables of keys.

In: keys as a person or a table gives them. Out: arrays that can be sorted, searched and stored.
"""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from cache.errors import CacheError

KEY_DIGITS = 64
_DIGITS = b"0123456789abcdef"
KEY_DTYPE = np.dtype(f"S{KEY_DIGITS}")
Keys = Sequence[str] | np.ndarray


def as_key_array(keys: Keys) -> np.ndarray:
    """Turn keys into an array and check each.

    Parameters
    ----------
    keys
        n strings of 64 lower-case hexadecimal digits, or an array of them (dtype S64 or U64).

    Returns
    -------
    numpy.ndarray
        Shape (n,), dtype S64.

    Raises
    ------
    CacheError
        If a value is not a key, naming it.

    Examples
    --------
    >>> as_key_array(["0" * 64, "f" * 64]).dtype
    dtype('S64')
    >>> as_key_array(["abc"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    cache.errors.CacheError: not a key: 'abc'; a key is the SHA-256 of an image file's bytes, ...
    """
    if isinstance(keys, str | bytes):
        raise CacheError(f"expected a sequence of keys, not the single value {keys!r}; write [key]")
    array = np.asarray(keys)
    if array.size == 0:
        return np.empty(0, KEY_DTYPE)
    if array.dtype.kind not in "SU" or array.ndim != 1:
        raise CacheError(f"expected a sequence of keys (text), not {array.dtype} of shape {array.shape}")
    if array.dtype != KEY_DTYPE:
        array = _encode(array)
    if array.tobytes().translate(None, _DIGITS):
        # NumPy hides the zero bytes that a short key ends with.
        _refuse(next(key for key in array if len(key) < KEY_DIGITS or key.translate(None, _DIGITS)))
    return array


def _encode(array: np.ndarray) -> np.ndarray:
    try:
        encoded = array.astype("S")
    except UnicodeEncodeError as error:
        _refuse(error.object)
    if encoded.dtype.itemsize > KEY_DIGITS:
        _refuse(encoded[np.argmax(np.char.str_len(encoded))])
    return encoded.astype(KEY_DTYPE)


def _refuse(key: object) -> NoReturn:
    shown = key.decode("ascii", "replace") if isinstance(key, bytes) else key
    raise CacheError(
        f"not a key: {str(shown)[:80]!r}; a key is the SHA-256 of an image file's bytes, "
        f"{KEY_DIGITS} lower-case hexadecimal digits"
    )


def decode_keys(keys: np.ndarray) -> set[str]:
    """Convert keys, shape (n,), dtype S64, to a set of strings.

    >>> decode_keys(np.array(["f" * 64], KEY_DTYPE)) == {"f" * 64}
    True
    """
    return {key.decode("ascii") for key in keys.tolist()}


def find_keys(sorted_keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find keys in an ascending table by binary search.

    Parameters
    ----------
    sorted_keys
        Shape (n,), dtype S64, strictly ascending.
    wanted
        Shape (m,), dtype S64, any order, repeats allowed.

    Returns
    -------
    numpy.ndarray
        Shape (m,), int64: the position of each key, -1 for a key that is not in the table.

    Examples
    --------
    >>> find_keys(np.array([b"a", b"c"], KEY_DTYPE), np.array([b"c", b"b", b"a"], KEY_DTYPE))
    array([ 1, -1,  0])
    """
    if len(sorted_keys) == 0:
        return np.full(len(wanted), -1, np.int64)
    positions = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1).astype(np.int64)
    return np.where(sorted_keys[positions] == wanted, positions, -1)

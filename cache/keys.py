"""Keys: the SHA-256 of an image file's bytes as 64 lower-case hexadecimal digits, and tables of them.

In: keys as a person or a table gives them. Out: arrays that can be sorted, searched and stored.
"""

from collections.abc import Sequence

import numpy as np

from cache.errors import CacheError

KEY_DIGITS = 64
_DIGITS = b"0123456789abcdef"
KEY_DTYPE = np.dtype(f"S{KEY_DIGITS}")
Keys = Sequence[str] | np.ndarray


def key_array(keys: Keys) -> np.ndarray:
    """Turn keys into an array, refusing what is no key.

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
        If one of them is no key, naming it.
    """
    if isinstance(keys, str | bytes):
        raise CacheError(f"expected a sequence of keys, not the single value {keys!r}; write [key]")
    array = np.asarray(keys)
    if array.size == 0:
        return np.empty(0, KEY_DTYPE)
    if array.dtype.kind not in "SU" or array.ndim != 1:
        raise CacheError(f"expected a sequence of keys (text), not {array.dtype} of shape {array.shape}")
    if array.dtype != KEY_DTYPE:
        array = _as_bytes(array)
    if array.tobytes().translate(None, _DIGITS):
        # NumPy hides the zero bytes that a short key ends with.
        _refuse(next(key for key in array if len(key) < KEY_DIGITS or key.translate(None, _DIGITS)))
    return array


def _as_bytes(array: np.ndarray) -> np.ndarray:
    try:
        as_bytes = array.astype("S")
    except UnicodeEncodeError as error:
        _refuse(error.object)
    if as_bytes.dtype.itemsize > KEY_DIGITS:
        _refuse(as_bytes[np.argmax(np.char.str_len(as_bytes))])
    return as_bytes.astype(KEY_DTYPE)


def _refuse(key: object) -> None:
    shown = key.decode("ascii", "replace") if isinstance(key, bytes) else key
    raise CacheError(
        f"not a key: {str(shown)[:80]!r}; a key is the SHA-256 of an image file's bytes, "
        f"{KEY_DIGITS} lower-case hexadecimal digits"
    )


def find(sorted_keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
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
        Shape (m,), int64: the position of each, -1 for one that is not there.
    """
    if len(sorted_keys) == 0:
        return np.full(len(wanted), -1, np.int64)
    positions = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1).astype(np.int64)
    return np.where(sorted_keys[positions] == wanted, positions, -1)

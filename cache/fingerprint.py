"""Name a set of settings by a digest, so that features made under other settings are never read by mistake.

In: a description, any mapping of plain JSON values. Out: its canonical text and a SHA-256 of it. What the description
contains is left to the caller.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from cache.errors import CacheError

# Part of every fingerprint: raise it when the files' layout, or what their numbers mean, changes.
FORMAT_VERSION = 1
SHORT_DIGITS = 16


def fingerprint(description: Mapping[str, Any]) -> str:
    """Compute the digest of a description. The order of its keys does not matter.

    The digest is the SHA-256 of the UTF-8 text ``{"description":…,"format_version":1}``, where … is
    `canonical_json(description)`. Numbers are compared as written: 1 and 1.0 are two descriptions.

    Parameters
    ----------
    description
        Everything that decides a feature's value, as plain JSON values.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    CacheError
        If a value is not JSON.

    Examples
    --------
    >>> fingerprint({"crop_px": 224, "arch": "resnet101"})[:16]
    '22a18226153ae1e9'
    >>> fingerprint({"crop_px": 224, "tokens": 9}) == fingerprint({"tokens": 9, "crop_px": 224})
    True
    >>> fingerprint({"crop_px": 224}) == fingerprint({"crop_px": 224.0})
    False
    """
    return digest_canonical_text(canonical_json(description))


def digest_canonical_text(canonical_text: str) -> str:
    """Compute the fingerprint of a description that is canonical text already, as a feature file holds it."""
    wrapped = f'{{"description":{canonical_text},"format_version":{FORMAT_VERSION}}}'
    return hashlib.sha256(wrapped.encode("utf-8")).hexdigest()


def canonical_json(description: Mapping[str, Any]) -> str:
    """Write a description in its one canonical form: keys sorted, no white space, floats by `repr`.

    Parameters
    ----------
    description
        A mapping of strings to None, bool, int, finite float, str, and lists, tuples or mappings of these.

    Returns
    -------
    str
        JSON text.

    Raises
    ------
    CacheError
        If a value or key is not JSON, naming its place.

    Examples
    --------
    >>> canonical_json({"b": [1, 0.5], "a": None})
    '{"a":null,"b":[1,0.5]}'
    """
    if not isinstance(description, Mapping):
        raise CacheError(f"the description must be a mapping, not {type(description).__name__}")
    plain = _convert_to_json(description, "description")
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _convert_to_json(value: object, where: str) -> object:
    """Convert `value` to JSON's own types. `json` alone would turn the key 1 into "1" without an error."""
    if isinstance(value, Mapping):
        return {_check_key(key, where): _convert_to_json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_convert_to_json(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, str) and _is_unicode(value):
        return value
    raise CacheError(f"{where} is not a JSON value: {value!r} ({type(value).__name__}); give it as a number or text")


def _check_key(key: object, where: str) -> str:
    if isinstance(key, str) and _is_unicode(key):
        return key
    raise CacheError(f"{where} has the key {key!r}; a JSON key is text")


def _is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)

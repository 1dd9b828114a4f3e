"""File names as tables hold them: NFC text in UTF-8, from which the file can be opened again.

In: names as the system lists them (`os.scandir`), relative and POSIX. Out: names for the column `image`, and back. What
names mean one file is left to ingest.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_BYTE = re.compile(r"[\udc80-\udcff]")
_WRITTEN_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


def image_names(on_disk: Iterable[str]) -> dict[str, str | None]:
    r"""Give each file the name that tables use.

    It is NFC where the file opens by it (as it stands, or decomposed), else exactly the system's: names that mix both
    forms, or hold characters that NFC replaces, open by no other. Bytes that are no UTF-8 are written as `\xe9`.

    Returns
    -------
    dict
        Name on the disk to name in tables; None where two files would have one name.

    Examples
    --------
    >>> list(image_names(["a.jpg", "e\u0301.jpg", "l\udce9ger.jpg"]).values())
    ['a.jpg', 'é.jpg', 'l\\xe9ger.jpg']
    """
    listed = list(on_disk)
    of_one_form = Counter(unicodedata.normalize("NFC", name) for name in listed)
    named = {name: _name(name, of_one_form) for name in listed}
    uses = Counter(named.values())
    return {name: image if uses[image] == 1 or name == image else None for name, image in named.items()}


def _name(name: str, of_one_form: Counter[str]) -> str:
    composed = unicodedata.normalize("NFC", name)
    if of_one_form[composed] == 1 and name in (composed, unicodedata.normalize("NFD", composed)):
        name = composed
    return _BYTE.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", name)


def disk_names(image: str) -> list[str]:
    r"""The names that a file of a table may have on the disk, to be tried in this order.

    >>> disk_names("l\\xe9ger.jpg")
    ['l\\xe9ger.jpg', 'l\udce9ger.jpg']
    """
    written = _WRITTEN_BYTE.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), image)
    return list(dict.fromkeys([image, unicodedata.normalize("NFD", image), written]))

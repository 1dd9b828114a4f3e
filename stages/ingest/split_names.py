"""A source's own split under any name: which columns and folders hold it, and which part a word means.

In: names and values as a source has them. Out: train, val or test, or an empty text. Following the split is left to
`stages/split`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

# Sources' words for the parts, as the Hugging Face hub reads them, and those of papers.
WORDS = {
    "train": "train training trainset trn tr learn learning fit",
    "val": "val valid validation validate dev devel development tune tuning",
    "test": "test testing tst eval evaluation holdout heldout",
}
PART_OF = {word: part for part, words in WORDS.items() for word in words.split()}
# Columns that hold a split if their values do.
COLUMNS = frozenset(
    {"split", "splits", "subset", "subsets", "set", "sets", "partition", "part", "usage", "phase", "fold"}
    | {"datasplit", "datasetsplit"}
)
FLAGS = {"istrain": "train", "istraining": "train", "istrainingimage": "train", "istest": "test", "isval": "val"}
TRUE, FALSE = frozenset(("1", "true", "yes")), frozenset(("0", "false", "no"))
# CelebA, WILDS and others number the three parts.
NUMBERED = {"0": "train", "1": "val", "2": "test"}
_SEPARATORS = re.compile(r"[\s_\-./]+")
_TAIL = re.compile(r"(?:set|split|data|images|imgs)$")


def clean_split(name: str) -> str:
    """Give a split its name (train, val or test) if the text is one of the usual names; else an empty text.

    >>> [clean_split(name) for name in ("Validation", "train_set", "hold-out", "test2017", "Cubism")]
    ['val', 'train', 'test', 'test', '']
    """
    word = re.sub(r"(?<=[a-z])(?:19|20)\d\d$", "", _SEPARATORS.sub("", name.casefold()))
    return PART_OF.get(word) or PART_OF.get(_TAIL.sub("", word), "")


def split_of_values(column: str, values: Iterable[str]) -> Mapping[str, str] | None:
    """What each value of a column means, if the column holds a split; None if it holds something else.

    >>> split_of_values("Subset", ["train", "valid", ""])
    {'train': 'train', 'valid': 'val'}
    >>> split_of_values("partition", ["0", "1", "2"])
    {'0': 'train', '1': 'val', '2': 'test'}
    >>> split_of_values("set", ["Landscapes", "Portraits"]) is None
    True
    """
    present = dict.fromkeys(value for value in values if value)
    name = _SEPARATORS.sub("", column.casefold())
    if not present:
        return None
    if name in FLAGS and {value.casefold() for value in present} <= TRUE | FALSE:
        return {value: _flagged(FLAGS[name], value) for value in present}
    if name not in COLUMNS:
        return None
    if set(present) == set(NUMBERED):
        return NUMBERED
    found = {value: clean_split(value) for value in present}
    return found if all(found.values()) else None


def _flagged(part: str, value: str) -> str:
    if value.casefold() in TRUE:
        return part
    return "test" if part == "train" else "train"


def split_of_folders(names: Sequence[str]) -> dict[str, str] | None:
    """What each folder's name means, if every one is a split's; None otherwise."""
    found = {name: clean_split(name) for name in dict.fromkeys(names)}
    return found if found and all(found.values()) else None

"""The columns of a source that hold its own split: recognised by name and values, never taken for classes.

In: cells. Out: cells whose splits are train, val or test. Other words are noted and emptied; which words are known is
left to `split_names`.
"""

from collections.abc import Mapping

import pandas as pd

from stages.core.tables.columns import SPLITS, is_source_split
from stages.core.tables.problems import Problems
from stages.ingest.label_cells import SourceLabels
from stages.ingest.split_names import clean_split, split_of_values

UNKNOWN = "split is not known as train, val or test: left empty (dataset.map can name it)"


def take_splits(labels: SourceLabels, problems: Problems) -> SourceLabels:
    """Give the source's split its one name, `split`, and its parts theirs."""
    cells, attributes = labels
    kept: list[str] = []
    for attribute in attributes:
        of_attribute = cells["attribute"] == attribute
        distinct = cells.loc[of_attribute, "value"].unique()
        parts = split_of_values("split" if is_source_split(attribute) else attribute, distinct)
        if not is_source_split(attribute) and parts is None:
            kept.append(attribute)
            continue
        parts = parts or {value: clean_split(value) for value in distinct}
        name = attribute if is_source_split(attribute) else "split"
        if name != attribute and (name in kept or name in attributes):
            problems.add(*_first(cells[of_attribute]), "column holds a second split: left out", attribute)
            cells = cells[~of_attribute]
            continue
        cells = _renamed(cells, of_attribute, name, parts, problems)
        if name != attribute or set(parts) - set(SPLITS) - {""}:
            _note_guesses(cells[of_attribute], attribute, parts, problems)
        kept.append(name)
    return SourceLabels(cells, kept)


def _renamed(
    cells: pd.DataFrame, chosen: pd.Series, name: str, parts: Mapping[str, str], problems: Problems
) -> pd.DataFrame:
    unknown = cells[chosen & (cells["value"] != "") & (cells["value"].map(parts).fillna("") == "")]
    for file, row, value in zip(unknown["file"], unknown["row"], unknown["value"], strict=True):
        problems.add(file, row, UNKNOWN, f"{name}: {value}")
    values = cells["value"].mask(chosen, cells["value"].map(parts).fillna(""))
    return cells.assign(value=values, attribute=cells["attribute"].mask(chosen, name))


def _note_guesses(cells: pd.DataFrame, attribute: str, parts: Mapping[str, str], problems: Problems) -> None:
    """Note once what the words of a column are taken for, where they are not the usual ones."""
    unusual = {word: part for word, part in parts.items() if part and word.casefold() not in (part, "validation")}
    if unusual or not is_source_split(attribute):
        named = ", ".join(f"{word} = {part}" for word, part in parts.items() if part)
        problems.add(*_first(cells), "column is the source's split", f"{attribute}: {named}")


def _first(cells: pd.DataFrame) -> tuple[str, int]:
    return str(cells["file"].iloc[0]), 0

"""Score the pipeline against faults that were planted on purpose in the demo collection.

In: the answer key and what clean, split and find-outliers wrote. Out: a row per stage and fault: planted, found.
No other stage reads the key.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stages.core.tables.columns import ANSWER_KEY, SELFCHECK
from stages.core.tables.csv_files import read_table

COLUMNS = SELFCHECK.names


def read_answer_key(path: Path) -> pd.DataFrame:
    """Read the list of planted faults.

    Raises
    ------
    StageError
        If it is missing or has other columns.
    """
    return read_table(path, ANSWER_KEY)


def score_against_key(
    *, key: pd.DataFrame, rejected: pd.DataFrame, splits: pd.DataFrame, outliers: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Count how many planted faults each stage found.

    Parameters
    ----------
    key
        Columns image, fault, attribute, truth, detail. `truth` is the reason of rejection for a broken file, the
        original for a duplicate, the true class for a wrong label.
    rejected, splits
        The tables of clean and split.
    outliers
        The table of find-outliers by target; planted wrong labels of other attributes are left out.

    Returns
    -------
    DataFrame
        Columns stage, fault, planted, found, detail.
    """
    rows = [
        broken_files(key, rejected),
        *(duplicates(key, splits, fault) for fault in ("exact_duplicate", "near_duplicate")),
        *(wrong_labels(key, table, target) for target, table in outliers.items()),
        *(conflicts(key, table, target) for target, table in outliers.items()),
        *strangers(key, outliers),
    ]
    return pd.DataFrame([row for row in rows if row["planted"]], columns=COLUMNS)


def broken_files(key: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, object]:
    """Broken files that were rejected; the detail says how many for the reason that the key gives."""
    planted = key[key["fault"] == "broken"]
    reasons = dict(zip(rejected["image"], rejected["reason"], strict=True))
    found = planted["image"].isin(reasons)
    right = sum(reasons.get(image) == truth for image, truth in zip(planted["image"], planted["truth"], strict=True))
    return _row("clean", "broken", len(planted), int(found.sum()), f"{right} of {len(planted)} with the planted reason")


def duplicates(key: pd.DataFrame, splits: pd.DataFrame, fault: str) -> dict[str, object]:
    """Duplicates that share their original's group."""
    planted = key[key["fault"] == fault]
    groups = dict(zip(splits["image"], splits["group"], strict=True))
    found = sum(
        image in groups and groups[image] == groups.get(original)
        for image, original in zip(planted["image"], planted["truth"], strict=True)
    )
    return _row("clean", fault, len(planted), found, "in one group with the original")


def wrong_labels(key: pd.DataFrame, outliers: pd.DataFrame, target: str) -> dict[str, object]:
    """Wrong labels among the suspects: recall in the whole list, precision among as many as were planted."""
    planted = set(key.loc[(key["fault"] == "wrong_label") & (key["attribute"] == target), "image"])
    suspects = _ranked(outliers, "suspect_label")
    found = len(planted.intersection(suspects))
    first = len(planted.intersection(suspects[: len(planted)]))
    detail = (
        f"{first} among the first {len(planted)} suspects (precision {_ratio(first, len(planted))}), "
        f"{found} among all {len(suspects)} (recall {_ratio(found, len(planted))})"
    )
    return _row(f"outliers: {target}", "wrong_label", len(planted), found, detail)


def conflicts(key: pd.DataFrame, outliers: pd.DataFrame, target: str) -> dict[str, object]:
    """Copies that contradict their original about the target: pairs of which both images are listed."""
    contradicts = key["detail"] == f"same_bytes_other_{target}_label"
    pairs = list(key.loc[contradicts, ["image", "truth"]].itertuples(index=False, name=None))
    listed = _ranked(outliers, "conflicting_labels")
    found = sum(set(pair) <= set(listed) for pair in pairs)
    right = len({image for pair in pairs for image in pair}.intersection(listed))
    detail = (
        f"{found} of {len(pairs)} pairs are listed (recall {_ratio(found, len(pairs))}), "
        f"{right} of {len(listed)} listed images are of one (precision {_ratio(right, len(listed))})"
    )
    return _row(f"outliers: {target}", "conflicting_labels", len(pairs), found, detail)


def strangers(key: pd.DataFrame, outliers: Mapping[str, pd.DataFrame]) -> list[dict[str, object]]:
    """Images that belong to nothing among those unlike anything; targets with the same list share a row."""
    planted = set(key.loc[key["fault"] == "stranger", "image"])
    targets_by_list: dict[tuple[str, ...], list[str]] = {}
    for target, table in outliers.items():
        targets_by_list.setdefault(tuple(_ranked(table, "unlike_anything")), []).append(target)
    rows = []
    for images, targets in targets_by_list.items():
        found = len(planted.intersection(images))
        first = len(planted.intersection(images[: len(planted)]))
        detail = (
            f"{first} among the first {len(planted)} (precision {_ratio(first, len(planted))}), "
            f"{found} among all {len(images)} (recall {_ratio(found, len(planted))})"
        )
        rows.append(_row(f"outliers: {', '.join(targets)}", "stranger", len(planted), found, detail))
    return rows


def _ranked(outliers: pd.DataFrame, kind: str) -> list[str]:
    """Images of one kind, the highest-ranked first."""
    table = outliers[outliers["kind"] == kind]
    return table.assign(rank=pd.to_numeric(table["rank"])).sort_values("rank", kind="stable")["image"].tolist()


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "\N{EN DASH}"


def _row(stage: str, fault: str, planted: int, found: int, detail: str) -> dict[str, object]:
    return dict(zip(COLUMNS, (stage, fault, planted, found, detail), strict=True))

"""Count how many of the faults planted in a collection each stage found.

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
        count_broken_files(key, rejected),
        *(count_duplicates(key, splits, fault) for fault in ("exact_duplicate", "near_duplicate")),
        *(count_wrong_labels(key, table, target) for target, table in outliers.items()),
        *(count_conflicts(key, table, target) for target, table in outliers.items()),
        *count_strangers(key, outliers),
    ]
    return pd.DataFrame([row for row in rows if row["planted"]], columns=COLUMNS)


def count_broken_files(key: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, object]:
    """Count broken files that were rejected; the detail counts those with the key's reason."""
    planted = key[key["fault"] == "broken"]
    reasons = dict(zip(rejected["image"], rejected["reason"], strict=True))
    found = planted["image"].isin(reasons)
    right = sum(reasons.get(image) == truth for image, truth in zip(planted["image"], planted["truth"], strict=True))
    detail = f"{right} of {len(planted)} with the planted reason"
    return _make_row("clean", "broken", len(planted), int(found.sum()), detail)


def count_duplicates(key: pd.DataFrame, splits: pd.DataFrame, fault: str) -> dict[str, object]:
    """Count duplicates that share their original's group."""
    planted = key[key["fault"] == fault]
    groups = dict(zip(splits["image"], splits["group"], strict=True))
    found = sum(
        image in groups and groups[image] == groups.get(original)
        for image, original in zip(planted["image"], planted["truth"], strict=True)
    )
    return _make_row("clean", fault, len(planted), found, "in one group with the original")


def count_wrong_labels(key: pd.DataFrame, outliers: pd.DataFrame, target: str) -> dict[str, object]:
    """Count wrong labels among the suspects: recall in the whole list, precision at the number planted."""
    planted = set(key.loc[(key["fault"] == "wrong_label") & (key["attribute"] == target), "image"])
    suspects = _list_ranked(outliers, "suspect_label")
    found = len(planted.intersection(suspects))
    first = len(planted.intersection(suspects[: len(planted)]))
    detail = (
        f"{first} among the first {len(planted)} suspects (precision {_format_ratio(first, len(planted))}), "
        f"{found} among all {len(suspects)} (recall {_format_ratio(found, len(planted))})"
    )
    return _make_row(f"outliers: {target}", "wrong_label", len(planted), found, detail)


def count_conflicts(key: pd.DataFrame, outliers: pd.DataFrame, target: str) -> dict[str, object]:
    """Count pairs of copies with contradicting labels of which both images are listed."""
    contradicts = key["detail"] == f"same_bytes_other_{target}_label"
    pairs = list(key.loc[contradicts, ["image", "truth"]].itertuples(index=False, name=None))
    listed = _list_ranked(outliers, "conflicting_labels")
    found = sum(set(pair) <= set(listed) for pair in pairs)
    right = len({image for pair in pairs for image in pair}.intersection(listed))
    detail = (
        f"{found} of {len(pairs)} pairs are listed (recall {_format_ratio(found, len(pairs))}), "
        f"{right} of {len(listed)} listed images are of one (precision {_format_ratio(right, len(listed))})"
    )
    return _make_row(f"outliers: {target}", "conflicting_labels", len(pairs), found, detail)


def count_strangers(key: pd.DataFrame, outliers: Mapping[str, pd.DataFrame]) -> list[dict[str, object]]:
    """Count strangers among the out-of-distribution images; targets with the same list share a row."""
    planted = set(key.loc[key["fault"] == "stranger", "image"])
    targets_by_list: dict[tuple[str, ...], list[str]] = {}
    for target, table in outliers.items():
        targets_by_list.setdefault(tuple(_list_ranked(table, "out_of_distribution")), []).append(target)
    rows = []
    for images, targets in targets_by_list.items():
        found = len(planted.intersection(images))
        first = len(planted.intersection(images[: len(planted)]))
        detail = (
            f"{first} among the first {len(planted)} (precision {_format_ratio(first, len(planted))}), "
            f"{found} among all {len(images)} (recall {_format_ratio(found, len(planted))})"
        )
        rows.append(_make_row(f"outliers: {', '.join(targets)}", "stranger", len(planted), found, detail))
    return rows


def _list_ranked(outliers: pd.DataFrame, kind: str) -> list[str]:
    """List the images of one kind, the highest-ranked first."""
    table = outliers[outliers["kind"] == kind]
    ranked = table.assign(rank=pd.to_numeric(table["rank"])).sort_values("rank", kind="stable")
    images: list[str] = ranked["image"].tolist()
    return images


def _format_ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "\N{EN DASH}"


def _make_row(stage: str, fault: str, planted: int, found: int, detail: str) -> dict[str, object]:
    return dict(zip(COLUMNS, (stage, fault, planted, found, detail), strict=True))

"""The compare stage: two runs on the test images that both have, in numbers, in sentences, picture by picture.

In: `reports/TARGET/` of two folders, git revisions or DVC experiments. Out: `comparison.json`, `comparison.md` and
`changes.csv` in `reports/comparison/`. Nothing is trained or predicted here. The page is left to the report.
"""

import contextlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cache.atomic import write_text
from stages.compare.pairing import Paired, pair_runs
from stages.compare.runs import Run, read_run
from stages.compare.settings import CompareSettings
from stages.compare.sources import Side, open_side
from stages.compare.summarise import summarise, tabulate_changes
from stages.compare.words import CAUTION, as_markdown, as_text, describe_settings, describe_target
from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.tables.columns import CHANGES
from stages.core.tables.csv_files import write_table

Pair = tuple[Run, Run]


def compare_runs(
    *,
    a: str,
    b: str,
    root: Path,
    destination: Path,
    settings: CompareSettings,
    targets: Sequence[str] = (),
    without_effect: Collection[str] = (),
) -> str:
    """Compare two runs, and write what was found.

    Parameters
    ----------
    a, b
        A project's folder, a reports folder, `reports/TARGET`, `workspace`, a git revision, or a DVC experiment.
    root
        The current project.
    destination
        The folder to write: `reports/comparison`.
    settings
        The tests.
    targets
        The label columns to compare; none stands for all that both runs have.
    without_effect
        Settings that change no result, by dotted key: a difference in them is not reported.

    Returns
    -------
    str
        What was found, a sentence a line.

    Raises
    ------
    StageError
        If a side has no results, a file is damaged, or the two have no test image in common.
    """
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(open_side(*side, root, targets)) for side in (("A", a), ("B", b))]
        chosen, notes = _choose_targets(sides, targets)
        pairs = {target: (read_run(sides[0], target), read_run(sides[1], target)) for target in chosen}
    paired = {target: pair_runs(*runs) for target, runs in pairs.items()}
    if all(found.table.empty for found in paired.values()):
        raise StageError(_explain_nothing_paired(a, b, paired))
    with write_outputs(
        producers.COMPARE, destination, settings=settings.model_dump(mode="json"), inputs=_inputs(pairs)
    ) as outputs:
        summary = _summarise(sides, pairs, paired, settings, without_effect)
        summary["notes"] = [*notes, *summary["notes"]]
        folder = outputs.path(destination)
        write_text(folder / "comparison.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        write_text(folder / "comparison.md", as_markdown(summary))
        changes = [tabulate_changes(target, found) for target, found in paired.items()]
        write_table(pd.concat(changes, ignore_index=True)[CHANGES.names], folder / "changes.csv")
    return as_text(summary)


def _choose_targets(sides: Sequence[Side], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The targets that both sides have, and a note for each that one has."""
    for side in sides:
        if missing := [target for target in wanted if target not in side.results]:
            present = ", ".join(side.results)
            raise StageError(
                f"{side.letter} ({side.name}) has no results of {', '.join(missing)}, only of {present}: "
                f"run `{producers.EVALUATE.command_for(missing[0])}` there"
            )
    first, second = (side.results for side in sides)
    both = [target for target in wanted or first if target in second]
    if not both:
        raise StageError(
            f"A has results of {', '.join(first)}, B of {', '.join(second)}: no target is in both: name two runs of "
            "the same labels"
        )
    notes = [
        f"Only {side.letter} has results of {', '.join(only)}."
        for side, other in (sides, sides[::-1])
        if (only := [] if wanted else [target for target in side.results if target not in other.results])
    ]
    return both, notes


def _explain_nothing_paired(a: str, b: str, paired: dict[str, Paired]) -> str:
    reasons = [f"{target}: {n} {why}" for target, found in paired.items() for n, why in found.left_out]
    return (
        f"{a} and {b} have no test image to compare ({'; '.join(reasons) or 'both have no test image'}): "
        "name two runs with the same split"
    )


def _inputs(pairs: dict[str, Pair]) -> dict[str, str]:
    """Digests of the files of both sides, by letter and path."""
    return {
        f"{letter}:{name}": digest
        for runs in pairs.values()
        for letter, run in zip("AB", runs, strict=True)
        for name, digest in run.digests.items()
    }


def _summarise(
    sides: Sequence[Side],
    pairs: dict[str, Pair],
    paired: dict[str, Paired],
    settings: CompareSettings,
    without_effect: Collection[str],
) -> dict[str, Any]:
    found = summarise(paired, settings)
    tested = sum(comparison["images"] > 0 for comparison in found.values())
    for target, comparison in found.items():
        comparison["words"] = describe_target(target, comparison, tested)
    differing = _differing_settings(pairs, without_effect)
    notes = [note for runs in pairs.values() for run in runs for note in run.notes]
    return {
        **{side.letter.lower(): {"name": side.name, "kind": side.kind} for side in sides},
        "settings": settings.model_dump(mode="json"),
        "notes": list(dict.fromkeys(notes)),
        "settings_that_differ": differing,
        "settings_words": describe_settings(differing),
        "caution": CAUTION,
        "targets": found,
    }


def _differing_settings(pairs: dict[str, Pair], without_effect: Collection[str]) -> list[dict[str, Any]]:
    """Settings with another value on the other side, those of head and train first; one that a side lacks is no
    difference, because its files may just not be there."""
    rows: dict[str, dict[str, Any]] = {}
    for one, other in pairs.values():
        for name in one.settings.keys() & other.settings.keys() - set(without_effect):
            if one.settings[name] != other.settings[name]:
                rows.setdefault(name, {"setting": name, "a": one.settings[name], "b": other.settings[name]})
    return sorted(rows.values(), key=lambda row: (not row["setting"].startswith(("head.", "train.")), row["setting"]))

"""Say which files on the disk were made with other settings than the present ones, before a command reads them.

In: the settings, and the records of the stages before the command. Out: one line per stage, for a person. Running that
stage again, or keeping its files, is left to the person, or to DVC.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.params import Params
from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.producers import TARGET, Producer
from stages.core.records.record import read_record

# The stages before a command, as they run, and the sections of params.yaml that each is made with.
CHAIN: tuple[tuple[Producer, tuple[str, ...]], ...] = (
    (producers.INGEST, ("dataset",)),
    (producers.CLEAN, ("clean",)),
    (producers.SPLIT, ("split",)),
    (producers.BACKBONE, ("backbone",)),
    (producers.EXTRACT, ("features",)),
    (producers.TRAIN, ("head", "train")),
    (producers.EVALUATE, ("evaluate",)),
    (producers.OUTLIERS, ("outliers",)),
)
# How many of them come before each command.
BEFORE = {
    "clean": 1,
    "split": 2,
    "prepare-backbone": 3,
    "extract-features": 4,
    "train-head": 5,
    "tune": 5,
    "score": 5,
    "evaluate": 6,
    "find-outliers": 6,
    "predict": 6,
    "report": 8,
    "review": 8,
}
# They change how a stage runs or when it gives up, and nothing that it makes.
WITHOUT_EFFECT = {
    "dataset.allow_missing", "dataset.timeout_s", "dataset.watch", "clean.allow_missing", "clean.timeout_s",
    "features.batch_size",
    "features.shard_mib", "features.flush_every_s", "features.after_publishing", "features.check",
    "features.max_failed_share", "train.placement", "train.tensorboard",
}  # fmt: skip


def describe_other_settings(params: Params, command: str, targets: Iterable[str], root: Path = Path()) -> Iterator[str]:
    """Describe each stage before a command whose files were made with other settings.

    Parameters
    ----------
    params
        The present settings.
    command
        The command that is about to run; one that reads nothing gives no line.
    targets
        The label columns that it works on.
    root
        The project's folder.

    Yields
    ------
    str
        What was made how, what the settings are now, and the command that uses these.
    """
    present = params.model_dump(mode="json")
    for producer, sections in CHAIN[: BEFORE.get(command, 0)]:
        for target in targets if TARGET in producer.home else [""]:
            home = producer.home.replace(TARGET, target)
            recorded = _recorded_settings(producer, root / home, target)
            # One section is recorded by itself, several by their names.
            values = recorded if len(sections) > 1 else {sections[0]: recorded}
            if changes := list(_compare(values, {section: present[section] for section in sections})):
                yield (
                    f"Note: `{producer.command_for(target)}` wrote to {home} with other settings "
                    f"({'; '.join(changes)}): run it again to use the present ones"
                )


def _recorded_settings(producer: Producer, home: Path, target: str) -> Mapping[str, Any]:
    """The settings of a stage's last run; none where its record is missing or damaged, which its reader reports."""
    try:
        record = read_record(producer.record_in(home), producer.stage, producer.command_for(target))
    except (StageError, OSError):
        return {}
    return record.settings if record else {}


def _compare(recorded: Mapping[str, Any], present: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Describe each value that differs; a setting that one of the two does not know is left out."""
    for key in sorted(recorded.keys() & present.keys()):
        name, then, now = f"{prefix}{key}", recorded[key], present[key]
        if isinstance(then, dict) and isinstance(now, dict):
            yield from _compare(then, now, f"{name}.")
        elif then != now and name not in WITHOUT_EFFECT:
            yield f"{name} was {_shorten(then)} and is {_shorten(now)}"


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

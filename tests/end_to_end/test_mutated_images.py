"""Damaged images of every format go through ingest, clean, extraction and predict: refused, or the right picture.

One image of each format and kind of damage in CI. `MUTATED_IMAGES=5000` takes so many, and appends tables of what came
of them to the file that `MUTATED_TABLE` names: crashes, hangs, wrong but accepted, seconds and memory.
"""

import contextlib
import csv
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from tests.end_to_end.command_server import living_in_session
from tests.end_to_end.image_mutations import (
    KINDS,
    SAMPLES,
    Mutant,
    decoded,
    decoded_by_pillow,
    good_images,
    is_same,
    mutant,
    original,
)
from tests.end_to_end.stage_runs import TARGET, BuiltProject, clone

LONG = "MUTATED_IMAGES" in os.environ
COUNT = int(os.environ.get("MUTATED_IMAGES", len(good_images()) * len(KINDS)))
# Longest time for an image, on a machine that does other things too.
SECONDS_PER_IMAGE, START_S = 0.5, 120.0
PREDICTED_AT_ONCE = 1000
# Share of the damaged images that may be taken with a wrong picture: nothing tells a changed bit of WebP, AVIF or HEIC.
MOST_WRONG = 0.16
# Kinds of damage of which nothing wrong is taken, and formats with checksums over all pixels.
TOLD_KINDS = ("cut", "appended file")
TOLD_FORMATS = ("PNG", "PNG, palette", "TIFF, deflate", "JPEG XL")
SETTINGS = ("dataset.source=csv", "dataset.images=mutants", "dataset.labels=mutants.csv")
DIED = ("decoder_crashed", "decoder_timeout")

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as only Linux can")


@dataclass
class Outcome:
    """What the commands made of the damaged images."""

    project: Path
    mutants: dict[str, Mutant]
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    printed: str = ""
    predictions: dict[str, bool] = field(default_factory=dict)

    def run(self, built: BuiltProject, name: str, *arguments: str) -> str:
        """Run a command, and measure it."""
        started = time.monotonic()
        command = built.server.start([name, *arguments], self.project)
        while not command.wait(0.1) and time.monotonic() - started < START_S + SECONDS_PER_IMAGE * len(self.mutants):
            self.peak_mib[name] = max(self.peak_mib.get(name, 0), memory_mib(command.pid))
        command.kill(whole_group=True)
        self.seconds[name] = self.seconds.get(name, 0) + time.monotonic() - started
        self.codes[name] = command.status()
        self.printed += command.output()
        return command.output()

    def rows(self, table: str) -> list[dict[str, str]]:
        """The rows of a table of the project."""
        with (self.project / "data" / table).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def kept(self) -> set[str]:
        """The images that clean has kept."""
        return {row["image"] for row in self.rows("clean.csv")}

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why clean has rejected the others."""
        return {row["image"]: row["reason"] for row in self.rows("rejected.csv")}

    @cached_property
    def wrong(self) -> set[str]:
        """The damaged images that were kept with a picture that is not theirs."""
        return {name for name in self.kept & self.mutants.keys() if not self._is_right(name)}

    def _is_right(self, name: str) -> bool:
        damaged = self.mutants[name]
        return is_same(decoded(damaged.encoded), original(damaged.sample))


def memory_mib(session: int) -> float:
    """Resident memory of all processes of a session; shared pages are counted once per process."""
    total = 0
    for pid in living_in_session(session):
        with contextlib.suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_images(project: Path) -> dict[str, Mutant]:
    """Write the good files and the damaged ones, and the table of their labels."""
    made = {}
    (project / "mutants").mkdir()
    rows = [f"image,{TARGET}"]
    for name, encoded in good_images().items():
        (project / "mutants" / f"good-{len(rows)}{SAMPLES[name].suffix}").write_bytes(encoded)
        rows.append(f"good-{len(rows)}{SAMPLES[name].suffix},dots")
    for number in range(COUNT):
        damaged = mutant(number)
        name = f"{number:05}{SAMPLES[damaged.sample].suffix}"
        (project / "mutants" / name).write_bytes(damaged.encoded)
        rows.append(f"{name},{'stripes' if number % 2 else 'dots'}")
        made[name] = damaged
    (project / "mutants.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def outcome(small: BuiltProject, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All damaged images after the commands that read images."""
    project = tmp_path_factory.mktemp("mutated") / "project"
    clone(small.home, project)
    found = Outcome(project, write_images(project))
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    for name in ("ingest", "clean", "split", "extract-features"):
        found.run(small, name, *options)
    paths = [f"mutants/{name}" for name in sorted(found.mutants)]
    for start in range(0, len(paths), PREDICTED_AT_ONCE):
        printed = found.run(small, "predict", "--json", *paths[start : start + PREDICTED_AT_ONCE])
        answers, _ = json.JSONDecoder().raw_decode(printed[printed.index("[\n") :])
        found.predictions |= {answer["image"].removeprefix("mutants/"): "targets" in answer for answer in answers}
    return found


def test_no_command_breaks_down(outcome: Outcome) -> None:
    assert "Traceback" not in outcome.printed, outcome.printed[-3000:]
    assert "nexpected" not in outcome.printed, outcome.printed[-3000:]
    expected = dict.fromkeys(("ingest", "clean", "split", "extract-features"), 0) | {"predict": 1}
    assert outcome.codes == expected, outcome.printed[-3000:]
    assert [name for name, reason in outcome.reasons.items() if reason in DIED] == []


def test_every_damaged_image_is_kept_or_rejected_and_every_good_one_is_kept(outcome: Outcome) -> None:
    assert outcome.kept.isdisjoint(outcome.reasons)
    good = {name for name in os.listdir(outcome.project / "mutants") if name.startswith("good-")}
    assert outcome.kept | outcome.reasons.keys() == outcome.mutants.keys() | good
    assert good <= outcome.kept


def test_what_clean_keeps_is_extracted_and_predicted_and_nothing_else(outcome: Outcome) -> None:
    assert not (outcome.project / "data/features/failed.csv").exists() or outcome.rows("features/failed.csv") == []
    small = {name for name, reason in outcome.reasons.items() if reason == "too_small"}  # a limit of clean alone
    predicted = {name for name, is_read in outcome.predictions.items() if is_read}
    assert predicted - small == outcome.kept & outcome.mutants.keys()


def test_damage_that_a_length_or_a_checksum_tells_is_never_taken_for_the_picture(outcome: Outcome) -> None:
    told = {
        name: (damaged.sample, damaged.kind)
        for name, damaged in outcome.mutants.items()
        if damaged.kind in TOLD_KINDS or damaged.sample in TOLD_FORMATS
    }
    assert [told[name] for name in told.keys() & outcome.wrong] == []


def test_few_damaged_images_are_kept_with_a_wrong_picture(outcome: Outcome) -> None:
    assert len(outcome.wrong) <= MOST_WRONG * len(outcome.mutants)


@pytest.mark.skipif(not LONG, reason="a measurement: MUTATED_IMAGES=5000")
def test_the_tables_are_written(outcome: Outcome) -> None:
    lines = "\n".join(report(outcome))
    if table := os.environ.get("MUTATED_TABLE"):
        with Path(table).open("a", encoding="utf-8") as file:
            print(lines, file=file)
    assert re.search(r"^all +5,?000|^all", lines, re.MULTILINE)


def report(outcome: Outcome) -> Iterator[str]:
    """Counts by format and by kind of damage, seconds and memory."""
    died = Counter(reason for reason in outcome.reasons.values() if reason in DIED)
    yield (
        f"{len(outcome.mutants)} damaged images through ingest, clean, split, extract-features and predict: "
        f"{died['decoder_crashed']} crashes, {died['decoder_timeout']} hangs, {len(outcome.wrong)} wrong but accepted"
    )
    verdicts = {name: verdict_pair(outcome, name) for name in outcome.mutants}
    for title, groups in (
        ("format", {name: damaged.sample for name, damaged in outcome.mutants.items()}),
        ("kind of damage", {name: damaged.kind for name, damaged in outcome.mutants.items()}),
    ):
        yield ""
        yield f"{title:<22}{'':>8}{'Pillow alone':>27}{'this project':>27}"
        yield f"{'':<22}{'images':>8}" + f"{'refused':>9}{'right':>9}{'wrong':>9}" * 2
        for group in [*dict.fromkeys(groups.values()), "all"]:
            chosen = [verdicts[name] for name in groups if group in ("all", groups[name])]
            counts = [Counter(pair[side] for pair in chosen) for side in (0, 1)]
            shown = (count[verdict] for count in counts for verdict in ("refused", "right", "wrong"))
            yield f"{group:<22}{len(chosen):>8}" + "".join(f"{number:>9}" for number in shown)
    yield ""
    yield f"{'command':<22}{'seconds':>8}{'peak MiB':>10}"
    for name, seconds in outcome.seconds.items():
        yield f"{name:<22}{seconds:>8.1f}{outcome.peak_mib.get(name, 0):>10.0f}"
    yield f"{'all commands':<22}{sum(outcome.seconds.values()):>8.1f}{max(outcome.peak_mib.values()):>10.0f}"


def verdict_pair(outcome: Outcome, name: str) -> tuple[str, str]:
    """What Pillow alone makes of a damaged image, and what the commands make of it: refused, right or wrong."""
    damaged = outcome.mutants[name]
    shown = decoded_by_pillow(damaged.encoded)
    alone = "refused" if shown is None else "right" if is_same(shown, original(damaged.sample)) else "wrong"
    return alone, "refused" if name in outcome.reasons else "wrong" if name in outcome.wrong else "right"

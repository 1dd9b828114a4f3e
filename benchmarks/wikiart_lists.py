"""What is in the published lists of WikiArt (ArtGAN), and how much leaks from train into what they hold out.

In: the folder of the nine lists; no image is needed. Out: counts per label column, leaks by pair of lists, the split
that follows each column's lists, and the seconds of each command. Everything is the pipeline's own: `ingest`, `clean`
and `split`, as a person runs them, in a temporary folder.

    python benchmarks/wikiart_lists.py LISTS
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

REPOSITORY = Path(__file__).parents[1]
ATTRIBUTES = ("style", "genre", "artist")
SPLITS = ("train", "val", "test")


def main() -> None:
    """Read the lists, split them in every way, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", type=Path, metavar="LISTS", help="folder of the nine lists")
    lists = parser.parse_args().lists.resolve()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
        (project / "no-images").mkdir()
        source = (f"dataset.labels={lists}", "dataset.source=artgan", "dataset.images=no-images")
        seconds = {
            "ingest": run(project, "ingest", "--allow-missing", settings=source),
            "clean": run(project, "clean", "--allow-missing", settings=source),
            "split": run(project, "split", settings=("split.source=own",)),
        }
        print_labels(pd.read_csv(project / "data" / "splits.csv", dtype=str, keep_default_na=False))
        print_leaks(split_officially(project, "style"))
        print_official_splits(project)
    print("\nseconds: " + ", ".join(f"{command} {took:.1f}" for command, took in seconds.items()))


def run(project: Path, *arguments: str, settings: tuple[str, ...]) -> float:
    """Run one command in the project's folder; the seconds that it took."""
    options = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "pipeline", *arguments, *options]
    started = time.perf_counter()
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return time.perf_counter() - started


def split_officially(project: Path, attribute: str, *, drop_leaks: bool = False) -> dict[str, Any]:
    """Follow the lists of one label column; the split's report."""
    settings = (f"split.official_attribute={attribute}", f"split.drop_leaks={str(drop_leaks).lower()}")
    run(project, "split", settings=("split.source=official", *settings))
    report: dict[str, Any] = json.loads((project / "data" / "split_report.json").read_text(encoding="utf-8"))
    return report


def print_labels(table: pd.DataFrame) -> None:
    """Print images and classes per column, and the file names that occur under two styles."""
    print(f"{len(table)} images")
    for attribute in ATTRIBUTES:
        labels = table.loc[table[attribute] != "", attribute]
        print(f"{attribute}: {len(labels)} labels, {labels.nunique()} classes")
    groups = table.groupby("group")
    repeated = groups.size() > 1
    apart = int((groups["split"].nunique() > 1).sum())
    print(f"file names under two styles: {repeated.sum()} names, {groups.size()[repeated].sum()} images")
    print(f"of these, in two splits of split.source own: {apart}")


def print_leaks(report: dict[str, Any]) -> None:
    """Print the images that one column trains on and another holds out, and names on both sides of a column."""
    print("\nimages in train of one column and held out by another")
    for pair, images in report["leaks"]["cross_attribute"].items():
        print(f"{pair}: {len(images)}")
    print("\non both sides of a column: groups of one file name; names alike but for a number in brackets")
    for attribute in ATTRIBUTES:
        groups, names = (report["leaks"][kind][attribute] for kind in ("duplicate_groups", "same_file_name"))
        print(f"{attribute}: {len(groups)}; {len(names)}")


def print_official_splits(project: Path) -> None:
    """Print the sizes of the split that follows each column, with leaks and without."""
    print(f"\n{'official':<10}{'train':>8}{'val':>8}{'test':>8}{'leaking':>9}{'train without leaks':>21}")
    for attribute in ATTRIBUTES:
        report = split_officially(project, attribute)
        sizes = "".join(f"{report['splits'][split]:>8}" for split in SPLITS)
        dropped = split_officially(project, attribute, drop_leaks=True)["splits"]["train"]
        print(f"{attribute:<10}{sizes}{len(report['leaking_into_train_or_val']):>9}{dropped:>21}", flush=True)


if __name__ == "__main__":
    main()

"""How near every class comes to its shares of train, val and test, for the clean tables of real collections.

In: one or more `data/clean.csv`. Out: per table and attribute, over several seeds, how many classes miss their promise
(an image or 2 %, whichever is more; classes of 20 or more) and the worst of them, stratified and by hash; then every
class with the first seed.

    python benchmarks/split.py wikiart/data/clean.csv --seeds 5
"""

import argparse
import json
import tempfile
from pathlib import Path

import pandas as pd

from stages.split.settings import SplitSettings
from stages.split.split_images import split_images
from stages.split.split_report import PROMISED_SIZE


def main() -> None:
    """Split and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", metavar="CLEAN_CSV")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    for path in arguments.tables:
        runs = [split(path, method, seed) for method in ("stratified", "hash") for seed in range(arguments.seeds)]
        classes = pd.concat(runs, ignore_index=True)
        print(f"{runs[0].attrs['images']} images in {runs[0].attrs['groups']} groups, {arguments.seeds} seeds")
        print(f"{'method':<12}{'attribute':<10}{'classes of 20+':>15}{'beyond':>8}  worst: images, per cent")
        for (method, attribute), rows in classes.groupby(["method", "attribute"], sort=False):
            print_worst(method, attribute, rows)
        print(
            f"\n{'attribute':<10}{'class':<30}{'images':>7}{'train':>7}{'val':>7}{'test':>7}{'off by':>8}{'allowed':>9}"
        )
        for row in runs[0].to_dict("records"):
            print(
                f"{row['attribute']:<10}{row['class']:<30}{row['images']:>7}{row['train']:>7}{row['val']:>7}"
                f"{row['test']:>7}{row['deviation']:>8.1f}{row['allowed']:>9.1f}"
            )
        print(flush=True)


def split(path: Path, method: str, seed: int) -> pd.DataFrame:
    """The report's table of classes, with the method and the seed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        split_images(
            settings=SplitSettings(method=method, random_state=seed),
            clean=path,
            splits=Path(folder) / "splits.csv",
            report=report,
        )
        found = json.loads(report.read_text(encoding="utf-8"))
    classes = pd.DataFrame(found["classes"]).assign(method=method, seed=seed)
    classes.attrs = {"images": found["images"], "groups": found["groups"]}
    return classes


def print_worst(method: str, attribute: str, rows: pd.DataFrame) -> None:
    """A line for one attribute over all seeds."""
    large = rows[rows["images"] >= PROMISED_SIZE]
    beyond = int((large["deviation"] > large["allowed"] + 0.005).sum())
    worst = large.loc[(large["deviation"] / large["allowed"]).idxmax()]
    print(
        f"{method:<12}{attribute:<10}{large['class'].nunique():>15}{beyond:>8}  "
        f"{worst['deviation']:.1f} of {worst['images']}, {worst['deviation'] / worst['images']:.1%}"
    )


if __name__ == "__main__":
    main()

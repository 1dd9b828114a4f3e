"""How long a protocol takes at WikiArt's size: five seeds of three heads on pooled features, by `pipeline score`.

In: the folder of ArtGAN's nine lists; no image is needed. Out: seconds per protocol. Labels, groups and splits are the
lists' own; the features are made up (2 views x 1 token x 2,048 channels, as a ReLU network's), so the scores mean
nothing. `pipeline split` and `pipeline score` are run as a person runs them, in a temporary folder.

    python benchmarks/protocol.py LISTS [--seeds 5] [--set KEY=VALUE ...]
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cache import FeatureStore, publish
from stages.core.features.artefact import FEATURES
from stages.core.records.artefacts import BACKBONE_CARD, FINGERPRINT
from stages.core.records.outputs import adopt
from stages.core.tables.columns import CLEAN
from stages.core.tables.csv_files import write_table

REPOSITORY = Path(__file__).parents[1]
ATTRIBUTES = ("style", "genre", "artist")
VIEWS, CHANNELS, BLOCK = 2, 2048, 512
# How far a class's direction stands out of the noise: heads are right in about half of the images.
SIGNAL = 0.05


def main() -> None:
    """Make the project, run the protocols in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", type=Path, metavar="LISTS", help="folder of the nine lists")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--attributes", nargs="+", default=ATTRIBUTES, choices=ATTRIBUTES)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting; repeatable")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
        (project / "no-images").mkdir()
        lists = options.lists.resolve()
        source = [f"dataset.labels={lists}", "dataset.source=artgan", "dataset.images=no-images", *options.set]
        run(project, "ingest", "--allow-missing", settings=source)
        run(project, "clean", "--allow-missing", settings=source)
        name_digests(project / "data" / "clean.csv")
        run(project, "split", settings=source)
        make_features(project)
        print(f"{' '.join(options.set) or 'default settings'}, {options.seeds} seeds")
        seconds = {a: score(project, a, source, options.seeds) for a in options.attributes}
    each = ", ".join(f"{attribute} {took:.0f}" for attribute, took in seconds.items())
    print(f"seconds of `pipeline score`: {each}; together {sum(seconds.values()):.0f}")


def score(project: Path, attribute: str, source: list[str], seeds: int) -> float:
    """Follow one attribute's lists, and score their protocol; the seconds of the latter."""
    settings = [*source, "split.source=official", f"split.official_attribute={attribute}"]
    run(project, "split", settings=settings)
    took = run(project, "score", "--protocol", f"artgan-{attribute}", "--seeds", str(seeds), settings=settings)
    summary = json.loads((project / "reports" / "scores" / f"artgan-{attribute}" / "score.json").read_bytes())
    found = summary["targets"][attribute]
    images = ", ".join(f"{name} {count:,}" for name, count in found["images"].items())
    print(f"artgan-{attribute}: {took:.0f} s; {images}; {len(found['per_class'])} classes", flush=True)
    return took


def run(project: Path, *arguments: str, settings: list[str]) -> float:
    """Run one command in the project's folder; the seconds that it took."""
    options = [part for setting in settings for part in ("--set", setting)]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments, *options], cwd=project, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def name_digests(clean: Path) -> None:
    """Give the images, which do not exist, a digest each."""
    table = pd.read_csv(clean, dtype=str, keep_default_na=False)
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in table["image"]]
    write_table(table.assign(sha256=digests), clean)
    adopt(clean, CLEAN)


def make_features(project: Path) -> None:
    """Publish features in which every class has a direction of its own, and a card of no backbone."""
    table = pd.read_csv(project / "data" / "splits.csv", dtype=str, keep_default_na=False)
    rng = np.random.default_rng(0)
    codes = [np.unique(table[attribute], return_inverse=True)[1] for attribute in ATTRIBUTES]
    directions = [rng.standard_normal((found.max() + 1, CHANNELS), dtype=np.float32) for found in codes]
    keys = table["sha256"].tolist()
    store = FeatureStore(project / ".features", {"made by": "benchmarks/protocol.py"}, (VIEWS, 1, CHANNELS))
    with store.writer() as writer:
        for start in range(0, len(table), BLOCK):
            rows = slice(start, start + BLOCK)
            centre = sum(of[found[rows]] for of, found in zip(directions, codes, strict=True))
            noise = rng.standard_normal((len(keys[rows]), VIEWS, CHANNELS), dtype=np.float32)
            values = np.maximum(noise + SIGNAL * centre[:, None], 0)
            writer.append(keys[rows], values[:, :, None].astype(np.float16))
    publish(store, keys, table["image"].tolist(), project / "data" / "features")
    adopt(project / "data" / "features" / "features.h5", FEATURES)
    adopt(project / "data" / "features" / "fingerprint.json", FINGERPRINT)
    card = project / "models" / "backbone.json"
    card.parent.mkdir()
    card.write_text(json.dumps({"weights": "none"}), encoding="utf-8")
    adopt(card, BACKBONE_CARD)


if __name__ == "__main__":
    main()

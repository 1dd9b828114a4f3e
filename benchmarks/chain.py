"""Measure what the chain of digests costs each stage on a collection of WikiArt's size.

    python benchmarks/chain.py [--images 81446] [--folder FOLDER]

Tables, weights and a feature cache of that many images are made up and recorded. Out: for every stage the seconds that
verifying its inputs takes (sizes, digests, columns, and whether they were made from one another), and their size.
"""

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cache import FeatureStore, publish
from stages.core.features.artefact import FEATURES
from stages.core.features.labelled import SPLIT_COLUMNS
from stages.core.records.artefacts import BACKBONE_CARD, BACKBONE_WEIGHTS, HEAD_CARD, HEAD_WEIGHTS, METRICS
from stages.core.records.outputs import adopt
from stages.core.records.reading import Input, bind_inputs
from stages.core.tables.columns import CLEAN, MANIFEST, OUT_OF_SAMPLE, PREDICTIONS, SPLIT_IMAGES

ROUNDS = 5
BACKBONE_BYTES, HEAD_BYTES = 170_000_000, 5_000_000


def main() -> None:
    """Make the files, time the verification of each stage's inputs, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=81_446, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where temporary files go (default: the system's)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        stages = make_files(Path(name), arguments.images)
        print(f"{arguments.images:,} images, median of {ROUNDS}\n{'stage':<20}{'seconds':>9}{'MiB of inputs':>15}")
        for stage, inputs in stages.items():
            size = sum(source.path.stat().st_size for source in inputs if source.artefact is not FEATURES) / 2**20
            print(f"{stage:<20}{time_binding(inputs):>9.2f}{size:>15.1f}")


def time_binding(inputs: list[Input]) -> float:
    """Seconds to verify files, after a warm-up."""
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        bind_inputs(inputs)
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


def make_files(root: Path, images: int) -> dict[str, list[Input]]:
    """Make and record the files; return the inputs of each stage."""
    rng, names = np.random.default_rng(0), [f"Impressionism/painter-{i % 1000}_{i}.jpg" for i in range(images)]
    keys = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    labels = {
        column: [f"class {k}" for k in rng.integers(0, n, images)]
        for column, n in (("style", 27), ("genre", 10), ("artist", 23))
    }
    manifest = pd.DataFrame({"image": names, **labels})
    clean = manifest.assign(sha256=keys, width=1400, height=1100, mode="RGB", group=[key[:16] for key in keys])
    splits = clean.assign(split=rng.choice(["train", "val", "test"], images))
    scored = splits[["image", "sha256", "split"]].assign(y_true=labels["style"], y_pred="class 1", confidence=0.5)
    tables = [
        (MANIFEST, manifest),
        (CLEAN, clean),
        (SPLIT_IMAGES, splits),
        (PREDICTIONS, scored),
        (OUT_OF_SAMPLE, scored),
    ]
    sizes = [(BACKBONE_WEIGHTS, BACKBONE_BYTES), (BACKBONE_CARD, 2_000), (HEAD_CARD, 3_000)]
    sizes += [(HEAD_WEIGHTS, HEAD_BYTES), (METRICS, 5_000)]
    artefacts = [FEATURES, *(artefact for artefact, _ in [*tables, *sizes])]
    places = {artefact.path: root / artefact.path_for("style") for artefact in artefacts}
    for artefact, table in tables:
        places[artefact.path].parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(places[artefact.path], index=False)
    for artefact, size in sizes:
        places[artefact.path].parent.mkdir(parents=True, exist_ok=True)
        places[artefact.path].write_bytes(rng.bytes(size))
    store = FeatureStore(root / "store", {"benchmark": "chain"}, (1, 1, 8))
    with store.writer() as writer:
        writer.append(keys, np.zeros((images, 1, 1, 8), np.float16))
    publish(store, keys, names, root / "data/features")
    for artefact in artefacts:
        adopt(places[artefact.path], artefact, "style" if "TARGET" in artefact.path else "")

    def source(artefact, target="", columns=()):
        return Input(places[artefact.path], artefact, target, columns)

    splits_of_style, head = source(SPLIT_IMAGES, columns=(*SPLIT_COLUMNS, "style")), (HEAD_CARD, HEAD_WEIGHTS)
    return {
        "clean": [source(MANIFEST)],
        "split": [source(CLEAN)],
        "extract-features": [
            source(SPLIT_IMAGES, columns=("image", "sha256")), source(BACKBONE_WEIGHTS), source(BACKBONE_CARD)
        ],
        "train-head": [splits_of_style, source(FEATURES)],
        "evaluate": [splits_of_style, source(FEATURES), *(source(artefact, "style") for artefact in head)],
        "find-outliers": [source(SPLIT_IMAGES), source(FEATURES), *(source(artefact, "style") for artefact in head)],
        "report, a page": [
            source(SPLIT_IMAGES), source(BACKBONE_CARD),
            *(source(artefact, "style") for artefact in (HEAD_CARD, METRICS, PREDICTIONS, OUT_OF_SAMPLE)),
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()

"""Compare another program's features with the cache's, token by token, on the images that both have.

In: a project folder with data/features/, and an HDF5 file with `features` `(images, tokens, channels)` and `sha256` or
`key`, the digest of each image's bytes. Out: a table on the screen.

    python benchmarks/agreement.py --project FOLDER REFERENCE.h5
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from cache import FeatureCache


def main() -> None:
    """Compare the centre crops' features with the reference's and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path, help="HDF5 file")
    parser.add_argument("--project", type=Path, required=True, help="folder with data/features/")
    arguments = parser.parse_args()
    with h5py.File(arguments.reference) as file:
        keys = np.asarray(file["sha256" if "sha256" in file else "key"], dtype="S64").tolist()
        theirs = dict(zip(keys, file["features"][:], strict=True))
    with FeatureCache(arguments.project / "data" / "features") as features:
        common = [key for key in np.asarray(features.keys).tolist() if key in theirs]
        if not common:
            parser.error(f"{arguments.reference} has no image of the project's")
        ours = features.get(common)[:, 0]
    similarity = cosines(ours, np.stack([theirs[key] for key in common]))
    size = f"{ours.shape[1]} tokens of {ours.shape[2]:,} channels"
    print(f"{len(common):,} images of the project's and the reference's {len(theirs):,}; {size}\n")
    print(f"{'cosine':<24}{'mean':>10}{'1 % worst':>12}{'worst':>10}")
    for token in range(similarity.shape[1]):
        print_row(f"token {token}", similarity[:, token])
    print_row("all tokens", similarity)
    pooled = cosines(*(np.asarray(rows, np.float32).mean(axis=1) for rows in (ours, [theirs[key] for key in common])))
    print_row("mean over the tokens", pooled)


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Cosine between vectors along the last axis, in float32."""
    a, b = ours.astype(np.float32), theirs.astype(np.float32)
    return (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def print_row(name: str, values: np.ndarray) -> None:
    cells = values.mean(), np.quantile(values, 0.01), values.min()
    print(f"{name:<24}{cells[0]:>10.5f}{cells[1]:>12.5f}{cells[2]:>10.5f}")


if __name__ == "__main__":
    main()

"""The published feature file as an artefact: its digest covers its tables, which hold a checksum per row.

In: `features.h5`. Out: its `Content`, or the open cache. The rows are checked as they are read, so the file need not be
read in full.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cache import FeatureCache
from cache.layout import FEATURES_NAME
from cache.tables import read_tables
from stages.core.records.artefacts import FEATURE_FILE, Artefact
from stages.core.records.contents import Content
from stages.core.records.reading import Input, verify_record


@dataclass(frozen=True)
class FeatureArtefact(Artefact):
    """A feature file."""

    def digest_of(self, path: Path) -> Content:
        """Compute the file's size, and the SHA-256 of its description, keys, checksums and image names.

        Raises
        ------
        cache.CacheError
            If the file is missing or damaged.
        """
        tables = read_tables(path)
        digest = hashlib.sha256(tables.description.encode())
        for table in (tables.keys, tables.checksums, tables.images):
            digest.update(b"" if table is None else table.tobytes())
        return Content(path.stat().st_size, digest.hexdigest())


FEATURES = FeatureArtefact(FEATURE_FILE.path, FEATURE_FILE.producer)


def open_features(folder: Path) -> FeatureCache:
    """Open the published cache, verified; `features.check` of the run that wrote it decides when rows are checked.

    Raises
    ------
    StageError
        If the file is missing, or is not what extraction wrote.
    cache.CacheError
        If it is damaged.
    """
    path = folder / FEATURES_NAME
    record = verify_record(Input(path, FEATURES))
    return FeatureCache(path, check="opening" if record.settings.get("check") == "opening" else "first_touch")


def describe_backbone(features: Path) -> str:
    """Name the network that the features come from, and the labels it was fine-tuned on, if any."""
    with open_features(features) as cache:
        description = cache.description
    name, target = description.get("arch", "unknown"), description.get("finetuned_on")
    return f"{name}, fine-tuned on {target}" if target else f"{name}, frozen"

"""Record the files that tests write, as if their stages had written them: stages take no file without a record."""

from collections.abc import Iterable
from pathlib import Path

from stages.core.features.artefact import FEATURES
from stages.core.records import artefacts, producers
from stages.core.records.artefacts import FEATURE_FILE, FINGERPRINT, Artefact
from stages.core.records.outputs import adopt
from stages.core.tables.columns import TABLES

FILES = [found for found in vars(artefacts).values() if isinstance(found, Artefact)]
ARTEFACTS = [found for found in [*FILES, *TABLES] if found is not FEATURE_FILE]


def adopt_features(folder: Path) -> None:
    """Record a published cache."""
    adopt(folder / "features.h5", FEATURES)
    adopt(folder / "fingerprint.json", FINGERPRINT)


def adopt_project(root: Path, targets: Iterable[str] = ()) -> None:
    """Record every file of a project that stages read, but for the published cache."""
    for artefact in ARTEFACTS:
        for target in targets if producers.TARGET in artefact.path else [""]:
            if (path := root / artefact.path_for(target)).is_file():
                adopt(path, artefact, target)
    for target in targets:
        head = root / "models/heads" / target
        for log in (head / "log").rglob("*.tsv"):
            name = f"{producers.TRAIN.home}/{log.relative_to(head).as_posix()}"
            adopt(log, Artefact(name, producers.TRAIN), target)

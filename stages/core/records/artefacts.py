"""The files that stages write for others; CSV tables are in `core/tables/columns`, features in `core/features`.

In: nothing. Out: an `Artefact` per file. What a record holds is left to `record`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from stages.core.records import producers
from stages.core.records.contents import Content, digest_bytes_of
from stages.core.records.producers import Producer


@dataclass(frozen=True)
class Artefact:
    """A file that one stage writes and others read.

    Attributes
    ----------
    path
        Relative to the project's root; TARGET stands for a label column.
    producer
        The stage that writes it.
    may_lack_record
        Whether a person may have written the file: then it is taken without a record.
    """

    path: str
    producer: Producer
    may_lack_record: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """The path relative to the producer's folder, POSIX: the file's name in the record.

        >>> Artefact("reports/TARGET/plots/confusion.csv", producers.EVALUATE).name
        'plots/confusion.csv'
        """
        return self.path.removeprefix(f"{self.producer.home}/")

    def path_for(self, target: str = "") -> str:
        """The path for one target, by which records of later stages name this file.

        >>> HEAD_CARD.path_for("style")
        'models/heads/style/head.json'
        """
        return self.path.replace(producers.TARGET, target)

    def home_of(self, path: Path) -> Path:
        """The producer's folder, given where this file lies.

        >>> FINGERPRINT.home_of(Path("copy/features/fingerprint.json")).as_posix()
        'copy'
        """
        return path.parents[self.name.count("/")]

    def command_for(self, target: str = "") -> str:
        """The command that writes the file of one target."""
        return self.producer.command_for(target)

    def digest_of(self, path: Path) -> Content:
        """Compute the size and digest of the file at `path`, which is this artefact."""
        return digest_bytes_of(path)


SPLIT_REPORT = Artefact("data/split_report.json", producers.SPLIT)
BACKBONE_WEIGHTS = Artefact("models/backbone.safetensors", producers.BACKBONE)
BACKBONE_CARD = Artefact("models/backbone.json", producers.BACKBONE)
# Its digest is defined in core/features/artefact.
FEATURE_FILE = Artefact("data/features/features.h5", producers.EXTRACT)
FINGERPRINT = Artefact("data/features/fingerprint.json", producers.EXTRACT)
HEAD_CARD = Artefact("models/heads/TARGET/head.json", producers.TRAIN)
HEAD_WEIGHTS = Artefact("models/heads/TARGET/head.safetensors", producers.TRAIN)
METRICS = Artefact("reports/TARGET/metrics.json", producers.EVALUATE)
COMPARISON = Artefact("reports/comparison/comparison.json", producers.COMPARE)

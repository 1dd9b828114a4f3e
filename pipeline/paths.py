"""Where every artefact lies: the contract between the stages, DVC and whoever opens the files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Paths of a project's files, relative to its root (the current folder)."""

    root: Path = Path()

    @property
    def demo(self) -> Path:
        """The painted demo collection: images/, labels.csv and answer_key.csv."""
        return self.root / "data" / "demo"

    @property
    def manifest(self) -> Path:
        return self.root / "data" / "manifest.csv"

    @property
    def ingest_problems(self) -> Path:
        """What is wrong with the source, by file and row."""
        return self.root / "data" / "ingest_problems.csv"

    @property
    def review(self) -> Path:
        """What a person decided about suspects; the one file under data/ that is in git, not in DVC."""
        return self.root / "data" / "review.csv"

    @property
    def clean(self) -> Path:
        return self.root / "data" / "clean.csv"

    @property
    def rejected(self) -> Path:
        return self.root / "data" / "rejected.csv"

    @property
    def conflicts(self) -> Path:
        return self.root / "data" / "conflicts.csv"

    @property
    def scan(self) -> Path:
        """What clean found in each file; in neither git nor DVC."""
        return self.root / ".scan" / "clean.sqlite"

    @property
    def measures(self) -> Path:
        """How bright, colourful and sharp each picture is; in neither git nor DVC."""
        return self.root / ".scan" / "measures.sqlite"

    @property
    def scratch(self) -> Path:
        """Large temporary files of running commands; in neither git nor DVC."""
        return self.root / ".scratch"

    @property
    def splits(self) -> Path:
        return self.root / "data" / "splits.csv"

    @property
    def split_report(self) -> Path:
        return self.root / "data" / "split_report.json"

    @property
    def backbone(self) -> Path:
        """The backbone's weights; its card is the .json beside them."""
        return self.root / "models" / "backbone.safetensors"

    @property
    def store(self) -> Path:
        """Where extraction appends; in neither git nor DVC."""
        return self.root / ".features"

    @property
    def features(self) -> Path:
        """The published feature cache."""
        return self.root / "data" / "features"

    @property
    def heads(self) -> Path:
        return self.root / "models" / "heads"

    @property
    def training(self) -> Path:
        """Checkpoints from which an interrupted training resumes; in neither git nor DVC."""
        return self.root / ".training"

    @property
    def tuning(self) -> Path:
        """The trials of searches, and what they found; in neither git nor DVC."""
        return self.root / ".tuning"

    @property
    def scoring(self) -> Path:
        """Finished heads of `pipeline score`, from which an interrupted one resumes; in neither git nor DVC."""
        return self.root / ".scoring"

    @property
    def scores(self) -> Path:
        """The tables of `pipeline score`, a folder per protocol."""
        return self.reports / "scores"

    @property
    def comparison(self) -> Path:
        """What `pipeline compare` found."""
        return self.reports / "comparison"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def coordinates(self) -> Path:
        """Where each image lies on the map."""
        return self.reports / "coordinates.csv"


PATHS = Paths()

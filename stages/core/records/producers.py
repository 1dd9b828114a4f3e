"""Which stages write files that others read, and where each stage's record lies.

In: nothing. Out: a `Producer` per stage; used as `producers.SPLIT`. Which files they write is left to `artefacts` and
`core/tables/columns`.
"""

from dataclasses import dataclass
from pathlib import Path

TARGET = "TARGET"
RECORDS = "records"


@dataclass(frozen=True)
class Producer:
    """A stage that writes files for others.

    Attributes
    ----------
    stage
        Its name, which is also its record's: `HOME/records/STAGE.json`.
    command
        What a person runs; TARGET stands for a label column.
    home
        The folder that it writes to, relative to the project's root; other projects may have it elsewhere.
    """

    stage: str
    command: str
    home: str

    def command_for(self, target: str = "") -> str:
        """The command for one target.

        >>> TRAIN.command_for("style")
        'pipeline train-head --target style'
        """
        return self.command.replace(TARGET, target)

    def record_in(self, home: Path) -> Path:
        """Where this stage's record lies.

        >>> SPLIT.record_in(Path("data")).as_posix()
        'data/records/split.json'
        """
        return home / RECORDS / f"{self.stage}.json"


DEMO = Producer("demo", "pipeline paint-demo", "data/demo")
INGEST = Producer("ingest", "pipeline ingest", "data")
CLEAN = Producer("clean", "pipeline clean", "data")
SPLIT = Producer("split", "pipeline split", "data")
BACKBONE = Producer("backbone", "pipeline prepare-backbone", "models")
EXTRACT = Producer("extract", "pipeline extract-features", "data")
TRAIN = Producer("train", "pipeline train-head --target TARGET", "models/heads/TARGET")
EVALUATE = Producer("evaluate", "pipeline evaluate --target TARGET", "reports/TARGET")
SCORE = Producer("score", "pipeline score --protocol TARGET", "reports/scores/TARGET")
COMPARE = Producer("compare", "pipeline compare A B", "reports/comparison")
OUTLIERS = Producer("outliers", "pipeline find-outliers --target TARGET", "reports/TARGET")
COORDINATES = Producer("coordinates", "pipeline report --coordinates", "reports")
REPORT_INDEX = Producer("report-index", "pipeline report --index", "reports")
REVIEW = Producer("review", "pipeline review --target TARGET", "data")

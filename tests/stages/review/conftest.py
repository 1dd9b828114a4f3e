"""A folder with a label table, images and the outliers of one target, and the real command serving them.

In: nothing. Out: `project`, and `serve`, which starts `pipeline review` and stops it when the test ends.
"""

import csv
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest
from ruamel.yaml import YAML

from stages.core.tables.csv_files import write_table
from stages.outliers.find_outliers import kind_table
from stages.outliers.kinds import KINDS
from tests.chain import adopt_project
from tests.conftest import REPOSITORY, picture, run_pipeline

SCRIPT = "<script>alert(1)</script>"
QUOTED = "O\"Brien & 'Sons'"
ARABIC = "محمد بن علي"
CLASSES = ["portrait", "landscape", SCRIPT, QUOTED, ARABIC]
HOSTILE_IMAGE = 'odd/"><img src=x onerror=alert(2)>.jpg'
OUTSIDE_IMAGE = "../secret.png"
IMAGES = 12


@dataclass(frozen=True)
class Project:
    """A folder in which `pipeline review --target genre` runs; its first eight images are suspects, in order."""

    root: Path
    names: list[str]

    @property
    def review(self) -> Path:
        return self.root / "data/review.csv"

    def decisions(self) -> list[dict[str, str]]:
        """The rows of review.csv."""
        with self.review.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def sha256(self, image: str) -> str:
        return hashlib.sha256((self.root / "images" / image).read_bytes()).hexdigest()

    def ingest(self) -> pd.DataFrame:
        """Run the real command; the manifest that it writes."""
        result = run_pipeline("ingest", cwd=self.root)
        assert result.returncode == 0, result.stderr
        return pd.read_csv(self.root / "data/manifest.csv", keep_default_na=False).set_index("image")


@dataclass(frozen=True)
class Served:
    """A running server."""

    process: subprocess.Popen[str]
    url: str

    def request(
        self, path: str = "", *, method: str = "GET", body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one request, by default as the page would; `path` beginning with / is taken as it is."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        sent = {"Origin": f"http://{parts.netloc}", "Content-Type": "application/json"} | (headers or {})
        connection.request(
            method,
            path if path.startswith("/") else parts.path + path,
            body=None if body is None else json.dumps(body),
            headers={name: value for name, value in sent.items() if value},
        )
        response = connection.getresponse()
        return response.status, response.read()

    def decide(self, number: int, decision: str, label: str = "", **options: object) -> int:
        """Send one decision; the status of the answer."""
        body = {"number": number, "decision": decision, "label": label}
        return self.request("decisions", method="POST", body=body, **options)[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C; the exit code and what was printed."""
        self.process.send_signal(signal.SIGINT)
        printed = self.process.communicate(timeout=60)[0]
        return self.process.returncode, printed


def make_project(root: Path) -> Project:
    names = [HOSTILE_IMAGE if i == 1 else f"plain/{i:02}.png" for i in range(IMAGES)]
    for i, name in enumerate(names):
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, (160, 120)).save(path)
    picture(99).save(root / "secret.png")
    made = Project(root, names)
    labels = pd.DataFrame({"image": names, "genre": [CLASSES[i % len(CLASSES)] for i in range(IMAGES)]})
    labels.to_csv(root / "labels.csv", index=False)
    (root / "data").mkdir()
    labels.assign(sha256=[made.sha256(name) for name in names]).to_csv(root / "data/splits.csv", index=False)
    write_outliers(root / "reports/genre/outliers.csv", labels)
    adopt_project(root, ["genre"])
    dataset = {"source": "csv", "images": "images", "labels": "labels.csv", "watch": "labels.csv"}
    with (root / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"targets": ["genre"], "dataset": dataset, "review": {"page_size": 5}}, file)
    return made


def write_outliers(path: Path, labels: pd.DataFrame) -> None:
    """Images 0 to 5 are suspects, 4 to 7 are unsure; one neighbour leads out of the image root."""
    kinds = {"suspect_label": range(6), "low_confidence": range(4, 8)}
    rows = [
        {
            "image": labels["image"][i],
            "kind": kind,
            "rank": rank,
            "score": 1 / rank,
            "y_true": labels["genre"][i],
            "y_pred": "landscape",
            "confidence": 0.9,
            "suggested": "landscape" if kind == "suspect_label" else "",
            "reason": f"looks like {SCRIPT}",
            "neighbours": json.dumps([labels["image"][8], OUTSIDE_IMAGE]),
        }
        for kind, images in kinds.items()
        for rank, i in enumerate(images, start=1)
    ]
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    write_table(kind_table(KINDS), path.with_name("outlier_kinds.csv"))


def start(project: Project, *arguments: str, env: dict[str, str] | None = None) -> Served:
    """Start a server in the project; with `env` it opens a browser."""
    options = arguments if env else ("--no-browser", *arguments)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "review", "--target", "genre", *options],
        cwd=project.root,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | (env or {}),
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert "http://" in line, f"the server said {line!r}"
    return Served(process, line[line.index("http://") :].strip())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def serve(project: Project) -> Iterator[Callable[..., Served]]:
    """Start a server in the project, as often as wanted."""
    started: list[Served] = []

    def start_one(*arguments: str, env: dict[str, str] | None = None) -> Served:
        started.append(start(project, *arguments, env=env))
        return started[-1]

    yield start_one
    for served in started:
        served.kill()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for requests that it must refuse, or that only read; in the end it must have written nothing."""
    project = make_project(tmp_path_factory.mktemp("untouched") / "project")
    served = start(project)
    yield served
    served.kill()
    assert not project.review.exists()

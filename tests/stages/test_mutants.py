"""Files that were damaged or made by an enemy: whatever is in them, a stage ends by an error that a person can act on.

Real files are mutated and given to the functions that read them. `MUTANTS=5000` is the long form.
"""

import json
import os
import shutil
import signal
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from cache import CacheError, FeatureCache
from pipeline.params import ParamsError, load_params
from stages.backbone.weights import get_backbone, read_weights
from stages.core.errors import StageError
from stages.core.extraction.description import current_fingerprint
from stages.core.extraction.settings import FeatureSettings
from stages.core.features.labelled import load_labelled_features
from stages.core.head.files import load_head
from stages.core.images.files import ImageFolder, UnusableImage, load_pixels
from stages.core.images.rgb import to_rgb
from stages.core.networks.backbone_files import load_backbone
from stages.core.records.artefacts import BACKBONE_CARD, BACKBONE_WEIGHTS, HEAD_CARD, HEAD_WEIGHTS, METRICS, Artefact
from stages.core.records.outputs import adopt
from stages.core.tables.columns import (
    CLEAN,
    CONFLICTS,
    CONFUSION,
    MANIFEST,
    OUTLIER_KINDS,
    OUTLIERS,
    PER_CLASS,
    PREDICTIONS,
    REJECTED,
    SPLIT_IMAGES,
)
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.ingest.ingest_labels import ingest_labels
from stages.ingest.settings import DatasetSettings
from stages.report.inputs import read_backbone, read_collection, read_fingerprint, read_results
from stages.review.decisions import DecisionFile
from stages.review.suspects import read_suspects
from stages.split.settings import SplitSettings
from stages.split.split_images import split_images
from stages.train.train_head import train_head
from tests.conftest import REPOSITORY, picture
from tests.stages.backbone.conftest import Collection
from tests.stages.conftest import Project, plain_lstm
from tests.stages.report.conftest import make_project as make_report_project

MUTANTS = int(os.environ.get("MUTANTS", "0"))
# What the command line prints as one line, and what a stage makes a row of its table of rejected images.
EXPECTED = (StageError, CacheError, ParamsError, UnusableImage)
LONGEST_S = 20
Mutate = Callable[[bytes, np.random.Generator], bytes]


# How a file is damaged


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Keep the beginning only."""
    return content[: rng.integers(len(content))]


def move(content: bytes, rng: np.random.Generator) -> bytes:
    """Copy a slice to another place."""
    start, place = rng.integers(len(content), size=2)
    piece = content[start : start + rng.integers(1, 200)]
    return content[:place] + piece + content[place + rng.integers(2) * len(piece) :]


def insert_noise(content: bytes, rng: np.random.Generator) -> bytes:
    """Put random bytes somewhere."""
    place = rng.integers(len(content))
    return content[:place] + rng.bytes(int(rng.integers(1, 50))) + content[place:]


TOKENS = [
    b"[" * 3000, b"{" * 3000, b'{"a":' * 3000, b"1" * 5000, b"-1", b"NaN", b"Infinity", b"1e999", b"null",
    b"true", b"\\u0000",
    b"\x00", b"\xff\xfe", b'"', b"\n", b",", b",,,,", b"\t", b"''", b"=cmd()", b"../../x", b"\xf0\x9f\x98\x80", b"[]",
    b"{}", b'""', b"99999999999999999999", b"*a", b"&a ", b"- ", b"!!python/name:os.system", b"\r", b"0.5",
    b"a" * 200_000,
]  # fmt: skip


def insert_token(content: bytes, rng: np.random.Generator) -> bytes:
    """Put in what parsers trip over: at a boundary between values, in place of the value or not."""
    boundaries = [place for place, byte in enumerate(content) if byte in b',:\n[]{}" '] or [0]
    place = int(rng.choice(boundaries)) + 1
    end = next((other for other in boundaries if other > place), place) if rng.integers(2) else place
    return content[:place] + TOKENS[rng.integers(len(TOKENS))] + content[end:]


def change_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace one value of a JSON document by another, of any type, or leave it out; the rest stays valid."""
    document = json.loads(content)
    nodes = [node for node in _walk(document) if node]
    node = nodes[rng.integers(len(nodes))]
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = keys[rng.integers(len(keys))]
    others = [
        None,
        True,
        0,
        -1,
        2**70,
        0.5,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\ud800",
        [],
        {},
        [[1]],
        {"a": 1},
        DELETE,
    ]
    value = others[rng.integers(len(others))]
    if value is DELETE:
        del node[key]
    else:
        node[key] = value
    return json.dumps(document).encode("utf-8", "surrogatepass")


DELETE = object()


def _walk(node: object) -> Iterator[dict | list]:
    if isinstance(node, dict | list):
        yield node
        for child in node.values() if isinstance(node, dict) else node:
            yield from _walk(child)


def change_header(content: bytes, rng: np.random.Generator) -> bytes:
    """Change the JSON header of a safetensors file, and its length with it or not."""
    (length,) = struct.unpack("<Q", content[:8])
    mutate = TEXT[rng.integers(len(TEXT))] if rng.integers(2) else change_json
    header = mutate(content[8 : 8 + length], rng)
    stated = len(header) if rng.integers(4) else int(rng.integers(2**63))
    return struct.pack("<Q", stated) + header + content[8 + length :]


BYTES: list[Mutate] = [flip_bits, cut, move, insert_noise]
TEXT: list[Mutate] = [*BYTES, insert_token, insert_token, insert_token]
JSON: list[Mutate] = [*TEXT, change_json, change_json, change_json]
SAFETENSORS: list[Mutate] = [*BYTES, change_header, change_header, change_header]


# What is damaged, and who reads it


@dataclass(frozen=True)
class Target:
    """A file, how it is mutated, and the function that reads it.

    With `artefact`, three of four mutants are recorded as the stage's output: their author made a record that fits.
    """

    path: Path
    mutate: list[Mutate]
    read: Callable[[], object]
    artefact: Artefact | None = None

    def record(self) -> None:
        """Make the record fit the file."""
        if self.artefact:
            adopt(self.path, self.artefact, "style" if "TARGET" in self.artefact.path else "")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    root = tmp_path_factory.mktemp("mutants")
    return {
        **settings_and_labels(root),
        **stage_tables(root),
        **trained_files(root),
        **report_files(root / "report"),
        **weights_files(root / "weights"),
        **images(root),
    }


def settings_and_labels(root: Path) -> dict[str, Target]:
    params = Path(shutil.copy(REPOSITORY / "params.yaml", root))
    (root / "images").mkdir()
    names = [f"{number:02}.png" for number in range(12)]
    for number, name in enumerate(names):
        picture(number).save(root / "images" / name)
    table = pd.DataFrame({"image": names, "style": ["dabs", "dots"] * 6, "year": range(1900, 1912)})
    table.to_csv(root / "labels.csv", index=False)
    table.to_parquet(root / "labels.parquet")
    review = root / "review.csv"
    review.write_text(
        "image,sha256,target,decision,label,when\n" + "".join(f"{name},{'0' * 64},style,fine,,\n" for name in names)
    )

    def ingest(source: str) -> object:
        settings = DatasetSettings(source=source, images=str(root / "images"), labels=str(root / f"labels.{source}"))
        return ingest_labels(
            settings=settings, manifest=root / "manifest.csv", problems=root / "problems.csv", review=review
        )

    return {
        "params.yaml": Target(params, TEXT, lambda: load_params(params)),
        "labels.csv": Target(root / "labels.csv", TEXT, lambda: ingest("csv")),
        "labels.parquet": Target(root / "labels.parquet", BYTES, lambda: ingest("parquet")),
        "review.csv, ingest": Target(review, TEXT, lambda: ingest("csv")),
        "review.csv, review": Target(review, TEXT, lambda: DecisionFile(review, "style").decisions()),
    }


def stage_tables(root: Path) -> dict[str, Target]:
    clean = root / "clean.csv"
    rows = [f"{i}.png,{'ab'[i % 2]},{i:064x},9,9,RGB,g{i}" for i in range(60)]
    clean.write_text("image,style,sha256,width,height,mode,group\n" + "\n".join(rows) + "\n")

    def split() -> object:
        return split_images(
            settings=SplitSettings(), clean=clean, splits=root / "splits.csv", report=root / "split_report.json"
        )

    adopt(clean, CLEAN)
    return {"clean.csv": Target(clean, TEXT, split, CLEAN)}


def trained_files(root: Path) -> dict[str, Target]:
    truth = ["dabs", "dots", "glaze"] * 12
    count = len(truth)
    folder = root / "trained"
    folder.mkdir()
    splits = (["train", "train", "train", "val", "test"] * count)[:count]
    table = pd.DataFrame(
        {
            "image": [f"{i:04d}.jpg" for i in range(count)], "style": truth,
            "sha256": [f"{i:064x}" for i in range(count)], "width": 9, "height": 9, "mode": "RGB",
            "group": [f"g{i}" for i in range(count)], "split": splits,
        }
    )  # fmt: skip
    project = Project(folder, table, truth, 1.0, 0)
    shared = {"target": "style", "features": project.features, "splits": project.splits}
    from stages.core.head.recipe import Recipe
    from stages.core.head.settings import TrainSettings

    recipe = Recipe(head=plain_lstm(hidden_size=4), train=TrainSettings(epochs=1))
    train_head(**shared, recipe=recipe, destination=project.head, work=project.work)

    def evaluate() -> object:
        settings = EvaluateSettings(resamples=100, logistic_regression_C=[0.01])
        return evaluate_head(**shared, settings=settings, head=project.head, destination=project.reports)

    def read_cache() -> object:
        cache = FeatureCache(project.features)
        cache.check()
        return cache.get(cache.keys[:3])

    return {
        "splits.csv": Target(project.splits, TEXT, lambda: load_labelled_features(**shared), SPLIT_IMAGES),
        "head.json": Target(project.head / "head.json", JSON, lambda: load_head(project.head), HEAD_CARD),
        "head.json, evaluate": Target(project.head / "head.json", [change_json], evaluate, HEAD_CARD),
        "head.safetensors": Target(
            project.head / "head.safetensors", SAFETENSORS, lambda: load_head(project.head), HEAD_WEIGHTS
        ),
        "features.h5": Target(project.features / "features.h5", BYTES, read_cache),
        "fingerprint.json": Target(
            project.features / "fingerprint.json", JSON, lambda: read_fingerprint(project.features)
        ),
    }


def report_files(root: Path) -> dict[str, Target]:
    project = make_report_project(root)
    inputs, results = project.inputs, root / "reports"
    tables = {
        Path(contract.path).name: Target(
            results / "style" / Path(contract.path).name, TEXT, lambda: read_results("style", inputs), contract
        )
        for contract in (PREDICTIONS, PER_CLASS, CONFUSION, OUTLIERS, OUTLIER_KINDS)
    }
    tables |= {
        Path(contract.path).name: Target(root / contract.path, TEXT, lambda: read_collection(inputs), contract)
        for contract in (MANIFEST, REJECTED, CONFLICTS)
    }
    suspects = Target(
        results / "style/outliers.csv",
        TEXT,
        lambda: read_suspects("style", results=results, splits=inputs.splits),
        OUTLIERS,
    )
    return tables | {
        "outliers.csv, review": suspects,
        "metrics.json": Target(results / "style/metrics.json", JSON, lambda: read_results("style", inputs), METRICS),
        "backbone.json, report": Target(inputs.backbone, JSON, lambda: read_backbone(inputs.backbone), BACKBONE_CARD),
    }


def weights_files(root: Path) -> dict[str, Target]:
    made = Collection(root)
    made.images.mkdir(parents=True)
    made.splits.parent.mkdir()
    rows = ["image,sha256,group,split,style"]
    for number in range(8):
        picture(number).save(made.images / f"{number}.png")
        rows.append(f"{number}.png,{number:064x},g{number},train,a")
    made.splits.write_text("\n".join(rows) + "\n")
    backbone = get_backbone("mobilenet_v3_small", "random", random_state=0, timeout_s=1)[0]
    state = {name: value for name, value in backbone.network.state_dict().items() if "num_batches" not in name}
    torch.save(state, root / "weights.pth")
    torch.save(state, root / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, root / "weights.safetensors")
    (root / "models").mkdir()
    prepared = root / "models" / "backbone.safetensors"
    _prepare(made, root / "weights.pth")

    def read(name: str) -> Callable[[], object]:
        return lambda: read_weights(root / name, backbone)

    def describe() -> object:
        return current_fingerprint(FeatureSettings(), prepared)

    return {
        "weights.safetensors": Target(root / "weights.safetensors", SAFETENSORS, read("weights.safetensors")),
        "weights.pth": Target(root / "weights.pth", BYTES, read("weights.pth")),
        "legacy.pth": Target(root / "legacy.pth", BYTES, read("legacy.pth")),
        "backbone.json": Target(prepared.with_suffix(".json"), JSON, describe, BACKBONE_CARD),
        "backbone.safetensors": Target(
            prepared, SAFETENSORS, lambda: load_backbone(prepared, arch="mobilenet_v3_small"), BACKBONE_WEIGHTS
        ),
    }


def _prepare(collection: Collection, weights: Path) -> None:
    collection.prepare(arch="mobilenet_v3_small", weights=str(weights))


def images(root: Path) -> dict[str, Target]:
    folder = root / "pictures"
    folder.mkdir()
    made = {}
    for suffix in ("png", "jpg", "webp", "gif", "tif", "bmp"):
        path = folder / f"picture.{suffix}"
        picture(1).save(path)
        made[path.name] = Target(path, BYTES, lambda name=path.name: decode(folder, name))
    return made


def decode(folder: Path, name: str) -> object:
    return to_rgb(load_pixels(ImageFolder(folder).open(name)))


# The test


class TooSlowError(Exception):
    """Reading took longer than `LONGEST_S`."""


def _too_slow(*_: object) -> None:
    raise TooSlowError


NAMES = [
    "params.yaml", "labels.csv", "labels.parquet", "review.csv, ingest", "review.csv, review", "clean.csv",
    "splits.csv",
    "head.json", "head.json, evaluate", "head.safetensors", "features.h5", "fingerprint.json", "predictions.csv",
    "per_class.csv", "confusion.csv", "outliers.csv", "outlier_kinds.csv", "manifest.csv", "rejected.csv",
    "conflicts.csv", "outliers.csv, review", "metrics.json", "backbone.json, report", "weights.safetensors",
    "weights.pth",
    "legacy.pth", "backbone.json", "backbone.safetensors", "picture.png", "picture.jpg", "picture.webp", "picture.gif",
    "picture.tif", "picture.bmp",
]  # fmt: skip
# The files that come from strangers more often than others.
OFTEN = {"weights.safetensors": 6, "weights.pth": 6, "params.yaml": 2}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_a_mutated_file_ends_in_an_error_that_names_it_or_in_none(
    targets: dict[str, Target], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = targets[name]
    intact = target.path.read_bytes()
    count = max(MUTANTS * OFTEN.get(name, 1) // (len(NAMES) + 11), 8)
    outcomes: Counter[str] = Counter()
    signal.signal(signal.SIGALRM, _too_slow)
    try:
        for seed in range(count):
            rng = np.random.default_rng([NAMES.index(name), seed])
            target.path.write_bytes(target.mutate[rng.integers(len(target.mutate))](intact, rng))
            if rng.integers(4):
                target.record()
            outcomes[outcome_of(target, seed)] += 1
            caplog.clear()
    finally:
        signal.alarm(0)
        target.path.write_bytes(intact)
        target.record()
    print(f"{name}: {dict(outcomes)}")
    assert {text: times for text, times in outcomes.items() if text not in ("read", "refused")} == {}


def outcome_of(target: Target, seed: int) -> str:
    """read, refused, or what went wrong."""
    signal.alarm(LONGEST_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read()
    except EXPECTED as error:
        return "refused" if str(error) else f"{seed}: {type(error).__name__} without a message"
    except Exception as error:
        return f"{seed}: {type(error).__name__}: {str(error)[:150]}"
    finally:
        signal.alarm(0)
    return "read"

"""Whatever the table, ingest reads it or refuses it by name: 2,000 mutated tables with `TABLE_FUZZ=2000`, 120 without.

In CI the short form runs. The long form prints tables, refusals, seconds and peak memory.
"""

import gzip
import io
import json
import logging
import os
import random
import resource
import time
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder
from stages.core.tables.columns import MANIFEST
from stages.core.tables.csv_files import read_table
from stages.core.tables.problems import one_line
from stages.ingest.match_names import AMBIGUOUS
from tests.stages.ingest.conftest import COLLECTION, Workplace

COUNT = int(os.environ.get("TABLE_FUZZ", "120"))
CHUNK = 40
TOKENS = [
    *(b'"', b'""', b"\\", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xfe\xff", b"\xff\xfe"),
    *(b"\xef\xbb\xbf", b"sep=;\n", b"#", b"=cmd|x", b"-500", b"nan", b"../", b"C:\\", b"%41", b"%", b"'", b"{", b"}"),
    *(b"[", b"]", b"null", b"NaN", b"1e999", b"-", b"\xed\xa0\x80", b"\xc3", b"\xe2\x80\x8b", b"image", b"style"),
    *(b"train", b"split", b"\x1f\x8b", b"PK\x03\x04", b"PAR1"),
    *(b"x" * 200_000, b",," * 500, b'"\n' * 200, b"9" * 5000, b"[" * 3000),
]


def tables() -> dict[str, bytes]:
    """A good table in every format."""
    rows = [(name, *labels, part) for (name, labels), part in zip(COLLECTION.items(), "abc", strict=True)] * 4
    frame = pd.DataFrame(rows, columns=["image", "style", "genre", "subset"])
    frame["subset"] = ["train", "val", "test"] * 4
    frame["year"] = range(1880, 1892)
    text = frame.to_csv(index=False)
    parquet, archive, book = io.BytesIO(), io.BytesIO(), io.BytesIO()
    frame.to_parquet(parquet)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labels.csv", text)
    workbook = openpyxl.Workbook()
    for row in [list(frame.columns), *frame.to_numpy().tolist()]:
        workbook.active.append(row)
    workbook.save(book)
    return {
        "plain.csv": text.encode(),
        "quoted.csv": frame.to_csv(index=False, quoting=1).encode(),
        "excel.csv": ("sep=;\r\n" + frame.to_csv(index=False, sep=";", lineterminator="\r\n")).encode("cp1252"),
        "utf16.csv": text.encode("utf-16"),
        "tabs.tsv": frame.to_csv(index=False, sep="\t").encode(),
        "packed.csv.gz": gzip.compress(text.encode()),
        "packed.zip": archive.getvalue(),
        "labels.json": frame.to_json(orient="records").encode(),
        "lines.jsonl": "\n".join(json.dumps(record) for record in frame.to_dict("records")).encode(),
        "labels.parquet": parquet.getvalue(),
        "labels.xlsx": book.getvalue(),
    }


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Change, remove, repeat, move or insert bytes, one to six times."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(made) + 1)
        end = min(len(made), start + chance.choice([1, 2, 8, 64, 512]))
        part = bytes(made[start:end])
        kind = chance.randrange(6)
        if kind == 0 and part:
            made[start:end] = bytes(byte ^ (1 << chance.randrange(8)) for byte in part[:4]) + part[4:]
        elif kind == 1:
            del made[start:end]
        elif kind == 2:
            made[end:end] = part * chance.randint(1, 3)
        elif kind == 3:
            place = chance.randrange(len(made) + 1)
            made[place:place] = part
        elif kind == 4:
            made[start:start] = chance.choice(TOKENS)
        elif chance.random() < 0.3:
            del made[start:]
    return bytes(made)


def outcome(place: Workplace, path: Path) -> str:
    """Ingest one table; what came of it. Any other error than a refusal is the test's failure."""
    try:
        place.ingest("csv", labels=str(path), watch=str(path))
    except StageError as error:
        return "refused" if "\n" not in str(error) else f"refused in several lines: {error}"
    manifest = read_table(place.root / "manifest.csv", MANIFEST)
    assert manifest["image"].is_unique
    missing = {detail.removesuffix(f" ({AMBIGUOUS})") for _, problem, detail in place.details() if "no such" in problem}
    for name in manifest["image"]:
        if one_line(name) not in missing and len(name) < 200:
            ImageFolder(place.images).open(name)
    return "read"


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("stages").setLevel(logging.ERROR)


@pytest.mark.parametrize("chunk", range((COUNT + CHUNK - 1) // CHUNK))
def test_a_mutated_table_is_read_or_refused_by_name(place: Workplace, chunk: int) -> None:
    good, started, results = tables(), time.perf_counter(), []
    for number in range(chunk * CHUNK, min(COUNT, (chunk + 1) * CHUNK)):
        chance = random.Random(number)
        name = list(good)[number % len(good)]
        path = place.root / name
        path.write_bytes(mutated(good[name], chance))
        try:
            results.append(outcome(place, path))
            assert results[-1] in ("read", "refused")
        except Exception as error:
            raise AssertionError(f"table {number} ({name}): {type(error).__name__}: {str(error)[:300]}") from error
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{len(results)} tables: {results.count('refused')} refused, {seconds:.1f} s, peak {peak} MiB")


def test_every_good_table_is_read(place: Workplace) -> None:
    for name, content in tables().items():
        (place.root / name).write_bytes(content)
        assert outcome(place, place.root / name) == "read"
        manifest = read_table(place.root / "manifest.csv", MANIFEST)
        assert len(manifest) == len(COLLECTION), name

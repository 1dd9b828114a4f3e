"""Whatever the table, ingest reads it or refuses it by name, and no picture gets the labels of another.

120 mutated tables in CI. `TABLE_FUZZ=2000` reads so many, and appends what came of them to the file that
`MUTATED_TABLE` names: refusals, wrong but accepted, seconds and peak memory.
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
from collections import Counter
from collections.abc import Iterator
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
from tests.stages.ingest.conftest import Workplace

COUNT = int(os.environ.get("TABLE_FUZZ", "120"))
CHUNK = 40
TOKENS = [
    *(b'"', b'""', b"\\", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xfe\xff", b"\xff\xfe"),
    *(b"\xef\xbb\xbf", b"sep=;\n", b"#", b"=cmd|x", b"-500", b"nan", b"../", b"C:\\", b"%41", b"%", b"'", b"{", b"}"),
    *(b"[", b"]", b"null", b"NaN", b"1e999", b"-", b"\xed\xa0\x80", b"\xc3", b"\xe2\x80\x8b", b"image", b"style"),
    *(b"train", b"split", b"\x1f\x8b", b"PK\x03\x04", b"PAR1"),
    *(b"x" * 200_000, b",," * 500, b'"\n' * 200, b"9" * 5000, b"[" * 3000),
]


# A row per image, and no label twice: a label that stands with another image has been moved there.
ROWS = [
    (f"rooms/ölbild {number:02}.png", f"school {number:02}", f"subject, {number:02}", part, str(1880 + number))
    for number, part in enumerate(["train", "val", "test"] * 8)
]
HEADER = ("image", "style", "genre", "subset", "year")
IMAGES = [row[0] for row in ROWS]
# Formats whose bytes hold no row as it stands: those with a checksum over all cells, and parquet without one.
WITH_CHECKSUM = ("packed.csv.gz", "packed.zip", "labels.xlsx", "checked.parquet")
PACKED = (*WITH_CHECKSUM, "labels.parquet")


def tables() -> dict[str, bytes]:
    """A good table in every format."""
    frame = pd.DataFrame(ROWS, columns=HEADER).astype({"year": int})
    text = frame.to_csv(index=False)
    parquet, checked, archive, book = (io.BytesIO() for _ in range(4))
    frame.to_parquet(parquet)
    frame.to_parquet(checked, write_page_checksum=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labels.csv", text)
    workbook = openpyxl.Workbook()
    for row in [HEADER, *ROWS]:
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
        "checked.parquet": checked.getvalue(),
        "labels.xlsx": book.getvalue(),
    }


def pieces(name: str, good: bytes) -> list[bytes]:
    """The header and each row as their bytes stand in a table, ends of line included; none of a packed table."""
    if name in PACKED:
        return []
    if name == "labels.json":
        return [b"", *good.strip(b"[]").replace(b"},{", b"}\0{").split(b"\0")]
    end = "\n".encode("utf-16-le") if name == "utf16.csv" else b"\n"
    lines = [end + line + end for line in good.removesuffix(end).split(end)]
    if name == "lines.jsonl":
        return [b"", *lines]
    return lines[1:] if name == "excel.csv" else lines


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


def labels_of(place: Workplace) -> dict[str, dict[str, str]]:
    """What the manifest says of each image that there is: column to label, gaps left out."""
    manifest = read_table(place.root / "manifest.csv", MANIFEST)
    records = [{key: value for key, value in row.items() if value} for row in manifest.to_dict("records")]
    return {row.pop("image"): row for row in records}


def moved_labels(place: Workplace, name: str, good: bytes, made: bytes) -> tuple[list[str], list[str]]:
    """Images with the label of another row: those whose own row is untouched, or has a checksum, and the others."""
    found, intact = labels_of(place), _intact(name, good, made)
    owners = {text: row[0] for row in ROWS for text in (row[1], row[2], row[4])}
    moved = [
        image
        for image, labels in found.items()
        if any(owners.get(text, image) != image for text in labels.values()) and image in IMAGES
    ]
    return [image for image in moved if image in intact], [image for image in moved if image not in intact]


def lost_labels(place: Workplace, name: str, good: bytes, made: bytes) -> list[str]:
    """Images whose row and header are untouched, which lack a label although no problem is noted."""
    whole = pieces(name, good)
    if place.details() or (whole and whole[0] not in b"\n" + made):
        return []
    found, intact = labels_of(place), _intact(name, good, made)
    return [
        row[0]
        for row in ROWS
        if row[0] in intact
        and found.get(row[0], {}) != {"style": row[1], "genre": row[2], "split": row[3], "year": row[4]}
    ]


def _intact(name: str, good: bytes, made: bytes) -> set[str]:
    """The images whose rows a mutation has not touched, and that no other row names; all, if a checksum covers them."""
    if name in PACKED:
        return set(IMAGES) if name in WITH_CHECKSUM else set()
    made = b"\n" + made + b"\n"
    _, *rows = pieces(name, good)
    tags = [f"bild {number:02}".encode("utf-16-le" if name == "utf16.csv" else "ascii") for number in range(len(ROWS))]
    return {
        image
        for image, row, tag in zip(IMAGES, rows, tags, strict=True)
        if row in made and made.count(tag) == made.count(row)
    }


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("stages").setLevel(logging.ERROR)


@pytest.fixture
def rooms(place: Workplace) -> Workplace:
    """A workplace with an image for each row."""
    place.add(*IMAGES)
    return place


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[str]]:
    """What came of all tables; a line of it is appended to the file that MUTATED_TABLE names."""
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    yield counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    line = (
        f"{counts['tables']} mutated tables: {counts['refused']} refused, {counts['read']} read, 0 crashes, 0 hangs, "
        f"{counts['moved']} with a label of another row in a row that is untouched or has a checksum, "
        f"{counts['spliced']} in a row that the mutation has joined; "
        f"{time.perf_counter() - started:.0f} s, peak {peak} MiB"
    )
    if table := os.environ.get("MUTATED_TABLE"):
        with Path(table).open("a", encoding="utf-8") as file:
            print(line, file=file)


@pytest.mark.parametrize("chunk", range((COUNT + CHUNK - 1) // CHUNK))
def test_a_mutated_table_is_read_or_refused_by_name(rooms: Workplace, chunk: int, tally: Counter[str]) -> None:
    good = tables()
    for number in range(chunk * CHUNK, min(COUNT, (chunk + 1) * CHUNK)):
        chance = random.Random(number)
        name = list(good)[number % len(good)]
        path, made = rooms.root / name, mutated(good[name], chance)
        path.write_bytes(made)
        try:
            result = outcome(rooms, path)
            assert result in ("read", "refused")
            moved, spliced = moved_labels(rooms, name, good[name], made) if result == "read" else ([], [])
            lost = lost_labels(rooms, name, good[name], made) if result == "read" else []
            tally.update({"tables": 1, result: 1, "moved": bool(moved), "spliced": bool(spliced and not moved)})
            assert moved == [], "labels of other rows"
            assert lost == [], "labels are lost, and no problem is noted"
        except Exception as error:
            raise AssertionError(f"table {number} ({name}): {type(error).__name__}: {str(error)[:300]}") from error


def test_every_good_table_is_read(rooms: Workplace) -> None:
    for name, content in tables().items():
        (rooms.root / name).write_bytes(content)
        assert outcome(rooms, rooms.root / name) == "read"
        assert labels_of(rooms) == {
            image: {"style": style, "genre": genre, "split": part, "year": year}
            for image, style, genre, part, year in ROWS
        }, name
        assert moved_labels(rooms, name, content, content) == ([], [])
        assert len(_intact(name, content, content)) == (0 if name == "labels.parquet" else len(ROWS)), name


def test_a_moved_label_is_found(rooms: Workplace) -> None:
    good = tables()["plain.csv"]
    made = good.replace(b"school 03", b"school 04")
    (rooms.root / "plain.csv").write_bytes(made)
    assert outcome(rooms, rooms.root / "plain.csv") == "read"
    assert moved_labels(rooms, "plain.csv", good, made) == ([], [IMAGES[3]])
    assert moved_labels(rooms, "packed.zip", good, made) == ([IMAGES[3]], [])


def test_a_changed_page_of_a_parquet_table_is_refused_by_its_checksum(rooms: Workplace) -> None:
    """Without the checksum the table is read, with another label."""
    for name, wanted in (("labels.parquet", "read"), ("checked.parquet", "refused")):
        good = tables()[name]
        place = good.index(b"school 00")
        (rooms.root / name).write_bytes(good[:place] + b"d" + good[place + 1 :])
        assert outcome(rooms, rooms.root / name) == wanted

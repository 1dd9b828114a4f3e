"""The chain of digests: what a stage reads is what another wrote, made from what is there now, or it is refused."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cache import CacheError
from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.artefacts import SPLIT_REPORT
from stages.core.records.contents import Content
from stages.core.records.outputs import Outputs, adopt, write_outputs
from stages.core.records.reading import Input, bind_inputs, read_json, read_verified
from stages.core.records.record import read_record, write_record
from stages.core.tables.columns import CLEAN, CONFLICTS, MANIFEST, REJECTED, SPLIT_IMAGES
from stages.core.tables.csv_files import read_table
from tests.conftest import REPOSITORY

TABLE = "image,style,sha256,width,height,mode,group\na.png,dabs,00,9,9,RGB,g0\nb.png,dots,11,9,9,RGB,g1\n"
SPLIT_TABLE = TABLE.replace("group\n", "group,split\n").replace("g0\n", "g0,train\n").replace("g1\n", "g1,test\n")


def run_clean(home: Path, manifest: Path | None = None, text: str = TABLE, settings: dict | None = None) -> Path:
    """Write the tables of clean as the stage does."""
    inputs = bind_inputs([Input(manifest, MANIFEST)]) if manifest else {}
    with write_outputs(producers.CLEAN, home, settings=settings or {}, inputs=inputs) as outputs:
        outputs.path(home / "clean.csv").write_text(text)
        outputs.path(home / "rejected.csv").write_text("image,reason,detail\n")
    return home / "clean.csv"


def run_split(home: Path, text: str = SPLIT_TABLE, columns: tuple[str, ...] = ()) -> Path:
    inputs = bind_inputs([Input(home / "clean.csv", CLEAN, columns=columns)])
    with write_outputs(producers.SPLIT, home, settings={}, inputs=inputs) as outputs:
        outputs.path(home / "splits.csv").write_text(text)
    return home / "splits.csv"


def test_what_a_stage_wrote_is_read(tmp_path: Path) -> None:
    assert read_table(run_clean(tmp_path), CLEAN)["style"].tolist() == ["dabs", "dots"]


def test_equal_runs_leave_equal_records_and_no_other_file(tmp_path: Path) -> None:
    names = ["clean.csv", "records", "rejected.csv"]
    run_clean(tmp_path / "one")
    run_clean(tmp_path / "two")
    run_clean(tmp_path / "two")
    records = [(tmp_path / folder / "records/clean.json").read_bytes() for folder in ("one", "two")]
    assert records[0] == records[1]
    assert sorted(os.listdir(tmp_path / "two")) == names
    assert str(tmp_path).encode() not in records[0]


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_refused_by_name_in_the_file_and_in_its_record(tmp_path: Path, seed: int) -> None:
    rng, path = random.Random(seed), run_clean(tmp_path)
    damaged = path if seed % 2 else tmp_path / "records/clean.json"
    content = bytearray(damaged.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    damaged.write_bytes(content)
    with pytest.raises(StageError, match=r"(clean\.csv|clean\.json) .*`pipeline clean`"):
        read_table(path, CLEAN)


def cut_at_a_line_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"\n", 60) + 1])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap_two_labels(path: Path) -> None:
    path.write_bytes(path.read_bytes().translate(bytes.maketrans(b"b", b"c")))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_sparse(path: Path) -> None:
    os.truncate(path, 12 * 2**30)


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = [
    cut_at_a_line_end, cut_in_half, swap_two_labels, empty, make_sparse, replace_by_a_folder, replace_by_a_pipe,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_by_name_and_without_reading_what_is_larger(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = run_clean(tmp_path)
    damage(path)
    with pytest.raises(StageError, match=r"clean\.csv is not what `pipeline clean` wrote .*: run it again"):
        read_table(path, CLEAN)
    with pytest.raises(StageError, match=r"clean\.csv is not what `pipeline clean` wrote .*: run it again"):
        bind_inputs([Input(path, CLEAN)])


def test_a_missing_file_and_a_missing_record_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"splits\.csv does not exist: run `pipeline split` first"):
        read_table(tmp_path / "splits.csv", SPLIT_IMAGES)
    (tmp_path / "splits.csv").write_text(SPLIT_TABLE)
    with pytest.raises(StageError, match=r"splits\.csv has no record .*split\.json is missing\): run `pipeline split`"):
        read_table(tmp_path / "splits.csv", SPLIT_IMAGES)
    run_clean(tmp_path)
    (tmp_path / "conflicts.csv").write_text("attribute,group,image,label\n")
    with pytest.raises(StageError, match="its record does not list it"):
        read_table(tmp_path / "conflicts.csv", CONFLICTS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SPLIT_TABLE.replace("train", "tarin"), r"row 2: 'tarin' is no split \(train, val, test\)"),
        (SPLIT_TABLE + "a.png,dabs,00,9,9,RGB,g0,test\n", r"row 4: image 'a\.png' occurs twice"),
    ],
)
def test_a_split_that_does_not_exist_and_an_image_on_two_sides_are_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / "splits.csv").write_text(text)
    adopt(tmp_path / "splits.csv", SPLIT_IMAGES)
    with pytest.raises(StageError, match=rf"splits\.csv, {problem}: run `pipeline split` again"):
        read_table(tmp_path / "splits.csv", SPLIT_IMAGES)


def test_a_file_that_was_made_from_another_version_of_one_that_is_read_is_refused(tmp_path: Path) -> None:
    run_clean(tmp_path)
    run_split(tmp_path)
    inputs = [Input(tmp_path / "clean.csv", CLEAN), Input(tmp_path / "splits.csv", SPLIT_IMAGES)]
    assert set(bind_inputs(inputs)) == {"data/clean.csv", "data/splits.csv"}
    run_clean(tmp_path, text=TABLE.replace("dots", "glaze"))
    with pytest.raises(StageError, match=r"splits\.csv was made from another data/clean\.csv .*: run `pipeline split`"):
        bind_inputs(inputs)
    assert bind_inputs(inputs[1:])


def test_a_change_in_a_column_that_a_stage_does_not_use_is_no_change(tmp_path: Path) -> None:
    run_clean(tmp_path)
    run_split(tmp_path, columns=("image", "group"))
    inputs = [Input(tmp_path / "clean.csv", CLEAN), Input(tmp_path / "splits.csv", SPLIT_IMAGES)]
    run_clean(tmp_path, text=TABLE.replace("dots", "glaze"))
    assert bind_inputs(inputs)
    run_clean(tmp_path, text=TABLE.replace("g1", "g0"))
    with pytest.raises(StageError, match=r"another data/clean\.csv \(columns image,group\) than the present one"):
        bind_inputs(inputs)
    run_clean(tmp_path, text=TABLE.replace("group", "party"))
    with pytest.raises(StageError, match="than the present one"):
        bind_inputs(inputs)


def test_a_link_of_the_chain_that_is_not_read_is_checked_by_its_record(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("image,style\na.png,dabs\n")
    adopt(manifest, MANIFEST)
    clean = run_clean(tmp_path, manifest)
    splits = run_split(tmp_path)
    clean.unlink()
    files, through = [Input(manifest, MANIFEST), Input(splits, SPLIT_IMAGES)], [Input(clean, CLEAN)]
    assert bind_inputs(files, through=through)
    manifest.write_text("image,style\na.png,glaze\n")
    adopt(manifest, MANIFEST)
    with pytest.raises(StageError, match=r"clean\.csv was made from another data/manifest\.csv .*`pipeline clean`"):
        bind_inputs(files, through=through)


def fail_half_way(home: Path) -> None:
    with write_outputs(producers.CLEAN, home, settings={}, inputs={}) as outputs:
        outputs.path(home / "clean.csv").write_text("half")
        raise KeyboardInterrupt


def test_a_stage_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    run_clean(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(KeyboardInterrupt):
        fail_half_way(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("at", ["replace", "write_record"])
def test_a_stage_that_ends_between_its_files_is_refused_until_it_has_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Old and new files together are never taken for one run."""
    run_clean(tmp_path)
    with monkeypatch.context() as patch:
        if at == "replace":
            patch.setattr(Path, "replace", interrupted_after_one(Path.replace))
        else:
            patch.setattr("stages.core.records.outputs.write_record", stop)
        with pytest.raises(KeyboardInterrupt):
            run_clean(tmp_path, text=TABLE.replace("dots", "glaze"))
    with pytest.raises(StageError, match=r"clean\.csv is not what `pipeline clean` wrote"):
        read_table(tmp_path / "clean.csv", CLEAN)
    run_clean(tmp_path, text=TABLE.replace("dots", "glaze"))
    assert read_table(tmp_path / "clean.csv", CLEAN)["style"].tolist() == ["dabs", "glaze"]


def interrupted_after_one(function: Callable[..., object]) -> Callable[..., object]:
    """The function, which is interrupted at its second call."""
    calls = iter(range(1000))
    return lambda *arguments: stop() if next(calls) else function(*arguments)


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_files_that_an_earlier_run_wrote_and_this_one_does_not_are_removed(tmp_path: Path) -> None:
    with write_outputs(producers.CLEAN, tmp_path, settings={}, inputs={}) as outputs:
        outputs.path(tmp_path / "log/old.tsv").write_text("old")
        outputs.path(tmp_path / "clean.csv").write_text(TABLE)
    (tmp_path / "mine.txt").write_text("not the stage's")
    run_clean(tmp_path)
    assert not (tmp_path / "log/old.tsv").exists()
    assert (tmp_path / "mine.txt").exists()


def test_a_record_that_names_files_elsewhere_removes_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    home = tmp_path / "data"
    run_clean(home)
    path = producers.CLEAN.record_in(home)
    record = read_record(path, "clean", "pipeline clean")
    write_record(replace(record, outputs={"../precious.txt": Content(4, "0" * 64)}), path)
    run_clean(home)
    assert (tmp_path / "precious.txt").read_text() == "keep"


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 3000, "9" * 5000, '{"format_version": 2}'])
def test_a_record_of_another_kind_is_one_line(tmp_path: Path, text: str) -> None:
    path = run_clean(tmp_path)
    (tmp_path / "records/clean.json").write_text(text)
    with pytest.raises(StageError, match=r"clean\.json is no readable record \(.*\): run `pipeline clean` again"):
        read_table(path, CLEAN)


def test_a_record_of_another_stage_is_refused(tmp_path: Path) -> None:
    path = run_clean(tmp_path)
    run_split(tmp_path)
    os.replace(tmp_path / "records/split.json", tmp_path / "records/clean.json")
    with pytest.raises(StageError, match=r"clean\.json is the record of `pipeline split`: run `pipeline clean` again"):
        read_table(path, CLEAN)


WRITER = """
import sys, time
from pathlib import Path
from stages.core.records import producers
from stages.core.records.contents import Content
from stages.core.records.outputs import write_outputs
home = Path(sys.argv[1])
with write_outputs(producers.CLEAN, home, settings={}, inputs={}) as outputs:
    print("ready", flush=True)
    sys.stdin.readline()
    outputs.path(home / "clean.csv").write_text("image\\n")
"""


def test_a_second_writer_is_told_who_the_first_is_and_a_killed_one_hinders_nobody(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    try:
        assert first.stdout.readline() == "ready\n"
        with pytest.raises(CacheError, match=re.escape(f"`pipeline clean`, process {first.pid} on ")):
            run_clean(tmp_path)
        assert (tmp_path / ".clean.partial").is_dir()
    finally:
        first.kill()
        first.wait()
    run_clean(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["clean.csv", "records", "rejected.csv"]


def test_json_of_another_kind_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "split_report.json"
    for text in ("[]", "not JSON", "[" * 100_000):
        path.write_text(text)
        adopt(path, SPLIT_REPORT)
        with pytest.raises(StageError, match=r"split_report\.json is not readable JSON .*: run `pipeline split` again"):
            read_json(path, SPLIT_REPORT)


def test_a_file_that_another_program_wrote_is_taken_once_it_is_adopted(tmp_path: Path) -> None:
    run_clean(tmp_path)
    (tmp_path / "clean.csv").write_text(TABLE.replace("dots", "glaze"))
    adopt(tmp_path / "clean.csv", CLEAN)
    assert read_table(tmp_path / "clean.csv", CLEAN)["style"].tolist() == ["dabs", "glaze"]
    assert read_verified(tmp_path / "rejected.csv", REJECTED)


def test_outputs_outside_the_folder_of_the_stage_are_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not in the subpath"):
        Outputs(tmp_path / "data", tmp_path / "data/.clean.partial", {}).path(tmp_path / "elsewhere.csv")

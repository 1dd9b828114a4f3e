"""Damage every kind of file that a stage reads, run the stages that read it, and count what goes unnoticed.

    python benchmarks/damage.py [--trials 12] [--tree TREE] [--folder FOLDER]

Two small demo projects are built with the real commands; they differ in the seed of the split. A trial damages one file
of the first (a flipped bit, a cut, the file of the other project, …), runs one command that reads it, and restores all.
Out: a table of trials by kind of file. `lost`: a file that the trial did not touch is gone or changed although the
command failed. `silent`: the command ended with 0 and had not put the file right. `unclear`: an error that is
unexpected, or names neither the file nor a command to run. `clean`: refused by name, or repaired to the same bytes.
`--tree` measures the code of another working tree, an older version for example.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET = "style"
SETTINGS = {
    "targets": "[style]",
    "demo.images": "60",
    "demo.wrong_labels": "4",
    "demo.strangers": "4",
    "demo.exact_duplicates": "4",
    "demo.near_duplicates": "4",
    "backbone.weights": "random",
    "backbone.calibration_images": "8",
    "features.resize_px": "40",
    "features.crop_px": "32",
    "features.tokens": "1",
    "features.flush_every_s": "0.001",
    "train.epochs": "3",
    "outliers.folds": "2",
    "evaluate.resamples": "100",
    "report.gallery_size": "4",
}
BUILD = [
    ["paint-demo"], ["ingest"], ["clean"], ["split"], ["prepare-backbone"], ["extract-features", "--allow-failed"],
    ["train-head", "--target", TARGET], ["evaluate", "--target", TARGET], ["find-outliers", "--target", TARGET],
    ["report", "--coordinates"], ["report", "--page", TARGET], ["report", "--data"], ["report", "--map"],
    ["report", "--index"],
]  # fmt: skip
EXTRACT, TRAIN = ["extract-features", "--allow-failed"], ["train-head", "--target", TARGET]
EVALUATE, OUTLIERS = ["evaluate", "--target", TARGET], ["find-outliers", "--target", TARGET]
PAGE, DATA, MAP = ["report", "--page", TARGET], ["report", "--data"], ["report", "--map"]
# Each kind of file, and the commands that read it.
READERS: dict[str, list[list[str]]] = {
    "data/manifest.csv": [["clean"], DATA],
    "data/clean.csv": [["split"]],
    "data/rejected.csv": [DATA],
    "data/conflicts.csv": [DATA],
    "data/ingest_problems.csv": [DATA],
    "data/split_report.json": [DATA],
    "data/splits.csv": [["prepare-backbone"], EXTRACT, TRAIN, EVALUATE, OUTLIERS, PAGE, MAP],
    "models/backbone.safetensors": [EXTRACT],
    "models/backbone.json": [EXTRACT, PAGE],
    "data/features/features.h5": [TRAIN, EVALUATE, OUTLIERS, ["report", "--coordinates"]],
    "data/features/fingerprint.json": [PAGE],
    "models/heads/style/head.json": [EVALUATE, OUTLIERS, PAGE],
    "models/heads/style/head.safetensors": [EVALUATE, OUTLIERS],
    "models/heads/style/log/plots/metrics/train/loss.tsv": [PAGE],
    "reports/style/metrics.json": [PAGE, ["report", "--index"]],
    "reports/style/predictions.csv": [PAGE],
    "reports/style/confusion.csv": [PAGE],
    "reports/style/per_class.csv": [PAGE],
    "reports/style/reliability.csv": [PAGE],
    "reports/style/outliers.csv": [PAGE, MAP],
    "reports/style/outlier_kinds.csv": [PAGE],
    "reports/style/out_of_sample.csv": [PAGE, MAP],
    "reports/style/traits.csv": [PAGE],
    "reports/style/clusters.csv": [PAGE],
    "reports/coordinates.csv": [MAP],
}
Damage = Callable[[Path, Path, random.Random], bool]


def flip_bit(path: Path, other: Path, rng: random.Random) -> bool:
    content = bytearray(path.read_bytes())
    if not content:
        return False
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return True


def cut_anywhere(path: Path, other: Path, rng: random.Random) -> bool:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(max(1, len(content)))])
    return bool(content)


def cut_at_line_end(path: Path, other: Path, rng: random.Random) -> bool:
    lines = path.read_bytes().splitlines(keepends=True)
    if len(lines) < 3 or path.suffix not in (".csv", ".tsv"):
        return False
    path.write_bytes(b"".join(lines[: rng.randrange(2, len(lines))]))
    return True


def swap_lines(path: Path, other: Path, rng: random.Random) -> bool:
    """Give two rows each other's last cell."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".csv" else []
    if len(lines) < 3:
        return False
    a, b = rng.sample(range(1, len(lines)), 2)
    (start_a, _, end_a), (start_b, _, end_b) = lines[a].rpartition(","), lines[b].rpartition(",")
    lines[a], lines[b] = f"{start_a},{end_b}", f"{start_b},{end_a}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return end_a != end_b


def take_the_other_runs(path: Path, other: Path, rng: random.Random) -> bool:
    different = path.read_bytes() != other.read_bytes()
    shutil.copyfile(other, path)
    return different


def take_the_other_run_with_its_record(path: Path, other: Path, rng: random.Random) -> bool:
    """Copy the file's folder from the other project, as a person copies from a colleague, or `git checkout` does."""
    different = path.read_bytes() != other.read_bytes()
    shutil.copyfile(other, path)
    for record in _records_of(other):
        shutil.copyfile(record, path.parents[len(other.parents) - len(record.parents) + 1] / "records" / record.name)
    return different


def _records_of(path: Path) -> list[Path]:
    """The record that lists a file: in its own folder or one above."""
    for folder in path.parents[:4]:
        name = f'"{path.relative_to(folder).as_posix()}"'
        found = [record for record in (folder / "records").glob("*.json") if name in record.read_text(encoding="utf-8")]
        if found:
            return found
    return []


def empty(path: Path, other: Path, rng: random.Random) -> bool:
    path.write_bytes(b"")
    return True


def overwrite_with_zeros(path: Path, other: Path, rng: random.Random) -> bool:
    content = bytearray(path.read_bytes())
    start = rng.randrange(max(1, len(content)))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    changed = bytes(content) != path.read_bytes()
    path.write_bytes(content)
    return changed


DAMAGES: list[Damage] = [
    flip_bit, cut_at_line_end, swap_lines, take_the_other_runs, take_the_other_run_with_its_record,
    overwrite_with_zeros, cut_anywhere, flip_bit, empty, flip_bit, overwrite_with_zeros, flip_bit,
]  # fmt: skip


@dataclass
class Count:
    """Outcomes of the trials of one kind of file."""

    trials: int = 0
    lost: int = 0
    silent: int = 0
    unclear: int = 0
    clean: int = 0


def main() -> None:
    """Build the projects, run the trials, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12, help="per kind of file and command (default: %(default)s)")
    parser.add_argument("--tree", type=Path, default=REPOSITORY, help="the code to measure (default: this)")
    parser.add_argument("--folder", type=Path, help="where temporary files go (default: the system's)")
    parser.add_argument("--only", default="", help="only kinds of file whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="print each trial that is not clean")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.tree))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        project, other = (build(folder / name, arguments.tree, seed) for name, seed in (("project", 0), ("other", 1)))
        preload()
        rng, counts = random.Random(0), {}
        for kind, commands in READERS.items():
            if arguments.only in kind:
                counts[kind] = try_kind(project, other, kind, commands, arguments.trials, rng, arguments.verbose)
                report(kind, counts[kind])
        total = Count(*(sum(getattr(count, name) for count in counts.values()) for name in vars(Count())))
        report("all", total)


def report(kind: str, count: Count) -> None:
    if kind == next(iter(READERS)):
        print(f"{'kind of file':<54}" + "".join(f"{name:>9}" for name in vars(count)))
    print(f"{kind:<54}" + "".join(f"{value:>9}" for value in vars(count).values()), flush=True)


def build(root: Path, tree: Path, seed: int) -> Path:
    """Run the whole pipeline on the demo collection in an empty folder."""
    root.mkdir()
    shutil.copyfile(tree / "params.yaml", root / "params.yaml")
    settings = [f"--set={key}={value}" for key, value in (SETTINGS | {"split.random_state": str(seed)}).items()]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    for command in BUILD:
        line = [sys.executable, "-m", "pipeline", *command, *settings]
        done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(line)}: {done.stderr}")
    return root


def preload() -> None:
    """Import what the commands import, so that every trial is a fork of this process."""
    import stages.backbone.prepare_backbone
    import stages.evaluate.evaluate_head
    import stages.extract.extract_features
    import stages.outliers.find_outliers
    import stages.report.write_report
    import stages.train.train_heads  # noqa: F401


def try_kind(
    project: Path, other: Path, kind: str, commands: list[list[str]], trials: int, rng: random.Random, verbose: bool
) -> Count:
    """Run the trials of one kind of file."""
    count = Count()
    before = snapshot(project)
    for command in commands:
        for damage, _ in zip(cycle_damages(), range(trials), strict=False):
            if not damage(project / kind, other / kind, rng):
                restore(project, before)
                continue
            if command == EXTRACT:  # otherwise the store has everything, and the network is not loaded
                shutil.rmtree(project / ".features")
            damaged = snapshot(project)
            code, text = run_forked(project, command)
            outcome = judge(project, kind, before, damaged, code, text)
            count.trials += 1
            setattr(count, outcome, getattr(count, outcome) + 1)
            if verbose and outcome != "clean":
                print(f"  {outcome}: {damage.__name__}, {' '.join(command)}: {code} {text.strip()[-300:]}", flush=True)
            restore(project, before)
    return count


def cycle_damages() -> Iterator[Damage]:
    while True:
        yield from DAMAGES


def judge(project: Path, kind: str, before: dict[str, bytes], damaged: dict[str, bytes], code: int, text: str) -> str:
    """Name the outcome of one trial."""
    after = snapshot(project)
    if code == 0:
        return "clean" if after.get(kind) == before[kind] else "silent"
    if any(after.get(name) != damaged[name] for name in damaged if not name.startswith(".")):
        return "lost"
    named = Path(kind).name in text or Path(kind).stem in text or str(Path(kind).parent) in text
    return "clean" if named and "`pipeline" in text and "unexpected" not in text and code == 1 else "unclear"


def snapshot(project: Path) -> dict[str, bytes]:
    """The bytes of every file that a stage wrote, but for the images."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for top in ("data", "models", "reports", ".features")
        for path in (project / top).rglob("*")
        if path.is_file() and not path.is_relative_to(project / "data/demo/images")
    }


def restore(project: Path, before: dict[str, bytes]) -> None:
    """Put every file back."""
    now = snapshot(project)
    for name in now.keys() - before.keys():
        (project / name).unlink()
    for name, content in before.items():
        if now.get(name) != content:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).unlink(missing_ok=True)  # it may be a hard link
            (project / name).write_bytes(content)


def run_forked(project: Path, command: list[str]) -> tuple[int, str]:
    """Run a command in a fork of this process; return its exit code and what it wrote."""
    with tempfile.TemporaryFile() as output:
        if (child := os.fork()) == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os.chdir(project)
            settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
            sys.argv = ["pipeline", *command, *settings]
            try:
                from pipeline.cli import cli

                cli(sys.argv[1:], prog_name="pipeline")
            except SystemExit as end:
                sys.stdout.flush()
                os._exit(end.code if isinstance(end.code, int) else 1)
            os._exit(70)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read().decode(errors="replace")


if __name__ == "__main__":
    main()

"""`dvc repro` builds everything, knows what depends on what, and has something to show."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.end_to_end.conftest import command, commit_all, edit_params
from tests.pipeline.test_dvc_yaml import covers, dvc_stages

TARGETS = ("style", "genre")


def changed_stages(folder: Path) -> set[str]:
    """Stages that DVC would run for a reason of their own, not because another one ran."""
    return set(json.loads(command("dvc", "status", "--json", cwd=folder).stdout))


def test_one_command_makes_every_artefact(built: Path) -> None:
    expected = [
        "data/manifest.csv", "data/clean.csv", "data/rejected.csv", "data/splits.csv", "data/demo/answer_key.csv",
        "models/backbone.safetensors", "models/backbone.json", "data/features/features.h5",
        "data/features/fingerprint.json", "reports/index.html", "reports/data.html", "reports/map.html",
    ]  # fmt: skip
    for target in TARGETS:
        expected += [f"models/heads/{target}/{name}" for name in ("head.safetensors", "head.json")]
        expected += [
            f"reports/{target}/{name}"
            for name in ("metrics.json", "predictions.csv", "confusion.csv", "per_class.csv", "outliers.csv")
        ]
        expected.append(f"reports/pages/{target}.html")
    assert [name for name in expected if not (built / name).is_file()] == []
    assert list(built.rglob("*.partial")) == []


def test_a_record_names_no_input_that_its_dvc_stage_does_not_watch(built: Path) -> None:
    """Then a record is never older than the files that DVC takes for up to date."""
    params = YAML(typ="safe", pure=True).load((built / "params.yaml").read_text(encoding="utf-8"))["dataset"]
    seen = 0
    for name, stage in dvc_stages().items():
        for record in (built / out.replace("${item.target}", "style") for out in stage["outs"] if "/records/" in out):
            watched = [dependency.replace("${item.target}", "style") for dependency in stage["deps"]]
            watched = [params[d[10:-1]] if d.startswith("${dataset.") else d for d in watched]
            inputs = [key.partition("[")[0] for key in json.loads(record.read_text())["inputs"]]
            inputs = [params["labels"] if key == "dataset.labels" else key for key in inputs]
            assert [i for i in inputs if not any(covers(d, i) for d in watched)] == [], name
            seen += 1
    assert seen == 9


def test_metrics_have_the_promised_names(built: Path) -> None:
    names = {"accuracy", "f1_macro", "f1_weighted", "top3_accuracy", "log_loss", "n"}
    for target in TARGETS:
        metrics = json.loads((built / "reports" / target / "metrics.json").read_text())
        baselines = metrics["baselines"]
        for scores in (
            metrics["test"],
            metrics["val"],
            baselines["majority"]["test"],
            baselines["logistic_regression"]["test"],
        ):
            assert names <= set(scores)


def test_planted_faults_are_found(built: Path) -> None:
    key = pd.read_csv(built / "data" / "demo" / "answer_key.csv", keep_default_na=False)
    rejected = pd.read_csv(built / "data" / "rejected.csv").set_index("image")["reason"]
    broken = key[key["fault"] == "broken"].set_index("image")["truth"]
    assert rejected.sort_index().to_dict() == broken.sort_index().to_dict()
    groups = pd.read_csv(built / "data" / "clean.csv").set_index("image")["group"]
    copies = key[key["fault"].isin(["exact_duplicate", "near_duplicate"])]
    together = groups[copies["image"]].to_numpy() == groups[copies["truth"]].to_numpy()
    assert together.all(), copies[~together]
    assert groups.duplicated(keep=False).sum() == 2 * len(copies)  # and nothing else was grouped


def test_the_report_counts_the_planted_faults_from_the_key_next_to_the_labels(built: Path) -> None:
    found = pd.read_csv(built / "reports" / "selfcheck.csv").set_index("fault")
    assert found.loc["broken", "planted"] == found.loc["broken", "found"] == 12
    assert "Planted faults" in (built / "reports" / "index.html").read_text(encoding="utf-8")


def test_another_collection_is_two_lines_and_paints_no_demo(project: Path) -> None:
    (project / "data" / "demo").rename(project / "museum")
    text = (project / "params.yaml").read_text(encoding="utf-8")
    assert (text.count("data/demo/images"), text.count("data/demo/labels.csv")) == (1, 1)
    (project / "params.yaml").write_text(text.replace("data/demo/", "museum/"), encoding="utf-8")
    ran = command("dvc", "repro", "ingest", cwd=project).stdout
    assert "Running stage 'ingest'" in ran
    assert "paint-demo" not in ran
    assert not (project / "data" / "demo").exists()
    (project / "museum" / "labels.csv").write_text("image,style\n")
    assert "ingest" in changed_stages(project)


def test_a_second_repro_has_nothing_to_do(built: Path) -> None:
    assert "up to date" in command("dvc", "repro", cwd=built).stdout


def test_a_change_reaches_its_own_stages_only(project: Path) -> None:
    edit_params(project, {"train.lr": 0.0005})
    assert changed_stages(project) == {f"train@{target}" for target in TARGETS}
    edit_params(project, {"train.lr": 0.001, "features.random_state": 1})
    assert changed_stages(project) == {"extract"}
    edit_params(project, {"features.random_state": 0, "features.crop_px": 68})
    # The random backbone is calibrated on crops, so it is made anew as well.
    assert changed_stages(project) == {"backbone", "extract"}
    edit_params(project, {"features.crop_px": 64, "parallel.n_jobs": 1, "features.batch_size": 4})
    assert changed_stages(project) == set()


def test_a_further_target_adds_only_its_stages(project: Path) -> None:
    edit_params(project, {"targets": ["style", "genre", "artist"]})
    of_target = {f"{stage}@artist" for stage in ("train", "evaluate", "outliers", "report-page")}
    assert changed_stages(project) == of_target | {"report-data", "report-map", "report-index"}


def test_code_of_a_stage_belongs_to_that_stage(project: Path) -> None:
    for module, stages in [
        ("clean/clean_images.py", {"clean"}),
        ("evaluate/evaluate_head.py", {f"evaluate@{target}" for target in TARGETS}),
    ]:
        path = project / "stages" / module
        before = path.read_text()
        path.write_text(before + "\n# changed\n")
        assert changed_stages(project) == stages
        path.write_text(before)


def test_dvc_shows_metrics_and_plots(project: Path) -> None:
    shown = command("dvc", "metrics", "show", cwd=project).stdout
    for words in ("reports/style/metrics.json", "reports/genre/metrics.json", "f1_macro", "baselines.majority"):
        assert words in shown
    command("dvc", "plots", "show", cwd=project)
    page = (project / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    for words in ("val/loss.tsv", "val/f1_macro.tsv", "train/accuracy.tsv", "reports/style/plots/confusion.csv"):
        assert words in page


def test_an_experiment_reruns_the_heads_and_can_be_compared_and_undone(project: Path) -> None:
    before = (project / "reports" / "style" / "metrics.json").read_bytes()
    ran = command("dvc", "exp", "run", "-n", "faster", "-S", "train.lr=0.02", cwd=project).stdout
    assert "Running stage 'train@style'" in ran
    assert "Running stage 'extract'" not in ran
    assert (project / "reports" / "style" / "metrics.json").read_bytes() != before
    difference = json.loads(command("dvc", "metrics", "diff", "--json", cwd=project).stdout)
    assert "log_loss" in json.dumps(difference["reports/style/metrics.json"])
    command("git", "checkout", "-q", "params.yaml", "dvc.lock", cwd=project)
    command("dvc", "checkout", cwd=project)
    assert (project / "reports" / "style" / "metrics.json").read_bytes() == before
    compared = command("pipeline", "compare", "main", "faster", cwd=project).stdout
    assert "Settings that differ, A → B: train.lr 0.001 → 0.02." in compared
    assert "Two runs compared" in (project / "reports" / "comparison.html").read_text(encoding="utf-8")
    compared = command("pipeline", "compare", "HEAD", cwd=project).stdout
    assert all(f"{target}: A and B predict the same class for every image" in compared for target in TARGETS)
    assert changed_stages(project) == set()


def test_push_and_pull_bring_everything_back(project: Path, tmp_path: Path) -> None:
    features = project / "data" / "features" / "features.h5"
    digest = hashlib.sha256(features.read_bytes()).hexdigest()
    command("dvc", "remote", "add", "-d", "backup", str(tmp_path / "remote"), cwd=project)
    command("dvc", "push", "--run-cache", cwd=project)
    for folder in ("data", "models", "reports", ".features", ".dvc/cache"):
        shutil.rmtree(project / folder)
    command("git", "checkout", "-q", "data/review.csv", cwd=project)  # the one file of these that is no output
    command("dvc", "pull", "--run-cache", cwd=project)
    assert hashlib.sha256(features.read_bytes()).hexdigest() == digest
    commit_all(project, "with a remote")
    assert "up to date" in command("dvc", "repro", cwd=project).stdout


def test_repeating_extraction_gives_the_same_bytes(project: Path) -> None:
    """By force from the store, and from nothing with other shards."""
    published = [project / "data" / "features" / name for name in ("features.h5", "fingerprint.json", "failed.csv")]
    expected = [path.read_bytes() for path in published]
    command("dvc", "repro", "--force", "--single-item", "extract", cwd=project)
    assert [path.read_bytes() for path in published] == expected
    shutil.rmtree(project / ".features")
    shutil.rmtree(project / "data" / "features")
    command("pipeline", "extract-features", "--set", "features.shard_mib=1", cwd=project)
    assert [path.read_bytes() for path in published] == expected


@pytest.mark.parametrize("name", ["features.h5"])
def test_the_published_cache_opens_with_bare_h5py(built: Path, name: str) -> None:
    import h5py

    with h5py.File(built / "data" / "features" / name) as file:
        splits = pd.read_csv(built / "data" / "splits.csv", keep_default_na=False)
        assert file["features"].shape == (splits["sha256"].nunique(), 2, 4, 2048)
        assert set(file["image"].asstr()[:]) <= set(splits["image"])
        assert sorted(file["key"].asstr()[:]) == sorted(set(splits["sha256"]))

"""The loop: every option does what it says, nothing is lost by a kill, and every number of an epoch is shown."""

import json
import logging
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from stages.core.errors import StageError
from stages.core.head.average import WeightAverage
from stages.core.head.fit import fit_head
from stages.core.head.learning_rate import learning_rate
from stages.core.head.losses import make_loss, mix_up
from stages.core.head.lstm import LSTMHead
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.lstm_step import dropout_mask, run_one_token
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.head.training_data import TrainingData
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.train.train_head import train_head
from tests.conftest import REPOSITORY
from tests.stages.conftest import Project, made_up_features, plain_lstm

MakeProject = Callable[..., Project]
HEAD = LSTMSettings(hidden_size=12, dropout=0.2)
EVERYTHING_ON = {
    "imbalance": "logit_adjustment", "label_smoothing": 0.1, "mixup": 0.4, "schedule": "plateau",
    "warmup_epochs": 1.0, "weight_decay": 0.5,
}  # fmt: skip
CPU = torch.device("cpu")


def train(project: Project, head: LSTMSettings = HEAD, **settings: object) -> str:
    return train_head(
        target="style",
        recipe=Recipe(head=head, train=TrainSettings(**{"epochs": 4, "batch_size": 16, "lr": 0.01} | settings)),
        features=project.features,
        splits=project.splits,
        destination=project.head,
        work=project.work,
    )


def fit(head: dict[str, object], **settings: object) -> dict[str, float]:
    """Train on three well separated classes and return the last epoch's log."""
    names = ["a", "b", "c"] * 30
    labels = np.array([ord(name) - ord("a") for name in names])
    features = made_up_features(names, noise=1.0, seed=0)
    recipe = Recipe(
        head=LSTMSettings(**{"hidden_size": 12, "dropout": 0.1} | head),
        train=TrainSettings(**{"epochs": 12, "batch_size": 16, "lr": 0.01} | settings),
    )
    return fit_head(TrainingData(features, labels, 3, np.arange(60), np.arange(60, 90)), recipe, device=CPU).epochs[-1]


@pytest.mark.parametrize(
    "head",
    [
        {"bidirectional": True},
        {"readout": "mean"},
        {"readout": "last", "bidirectional": False},
        {"input_norm": "layer_norm", "input_scale": 0.3},
        {"input_norm": "none"},
        {"projection": 8},
        {"skip": "none", "feature_dropout": 0.3},
        {"skip": "probe"},
    ],
)
def test_every_shape_of_the_head_learns(head: dict[str, object]) -> None:
    assert fit(head)["val/accuracy"] > 0.9


@pytest.mark.parametrize(
    "settings",
    [
        {"imbalance": "balanced"},
        {"imbalance": "logit_adjustment", "tau": 0.5},
        {"label_smoothing": 0.1},
        {"mixup": 0.4},
        {"schedule": "one_cycle"},
        {"schedule": "plateau", "warmup_epochs": 2.0},
        {"clip_norm": 0.0, "weight_decay": 1.0},
    ],
)
def test_every_way_of_training_learns(settings: dict[str, object]) -> None:
    assert fit({}, **settings)["val/accuracy"] > 0.9


@pytest.mark.parametrize("settings", [{}, EVERYTHING_ON])
def test_the_same_seed_gives_the_same_bits_whatever_is_on(
    make_project: MakeProject, settings: dict[str, object]
) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 15)
    head = LSTMSettings(hidden_size=8, feature_dropout=0.3, readout="last", power_norm=0.7)
    weights = []
    for seed in (0, 0, 1):
        train(project, head, random_state=seed, **settings)
        weights.append((project.head / "head.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_the_last_state_of_two_directions_is_each_ones_own() -> None:
    head = LSTMHead(plain_lstm(hidden_size=3, readout="last", bidirectional=True), channels=4, classes=2).eval()
    states = torch.arange(2 * 5 * 6, dtype=torch.float32).reshape(2, 5, 6)
    torch.testing.assert_close(head.read_out(states), torch.cat([states[:, 4, :3], states[:, 0, 3:]], dim=1))


def test_feature_dropout_drops_a_channel_from_all_tokens_alike() -> None:
    torch.manual_seed(0)
    head = LSTMHead(plain_lstm(hidden_size=3, feature_dropout=0.5), channels=200, classes=2).train()
    seen = []
    head.lstm.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    head(torch.ones(4, 5, 200))
    kept = seen[0] != 0
    assert (kept == kept[:, :1]).all()
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}  # scaled up, so that the mean stays


@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.9, 0.999])
def test_a_dropout_mask_drops_its_share_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(0)
    mask = dropout_mask((401, 1, 999), share, CPU)
    count, share = mask.numel(), min(max(1, round(share * 256)), 255) / 256
    assert (mask == 0).float().mean().item() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / count))
    assert mask.mean().item() == pytest.approx(1, abs=5 * math.sqrt(share / (1 - share) / count))
    assert len(mask.unique()) == 2


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_sequence_of_one_gives_what_the_lstm_gives(bidirectional: bool) -> None:
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(10, 5, num_layers=2, batch_first=True, dropout=0.4, bidirectional=bidirectional).eval()
    x = torch.randn(7, 1, 10, requires_grad=True)
    expected, found = lstm(x)[0], run_one_token(lstm, x, dropout=0.0)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(states.square().sum(), [x, lstm.weight_ih_l0]) for states in (expected, found)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0, 0, 0, 1])
    logits = torch.randn(4, 2)
    loss = make_loss(labels, 2, TrainSettings(imbalance="balanced", label_smoothing=0), CPU)
    expected = F.cross_entropy(logits, torch.from_numpy(labels), weight=torch.tensor([4 / 6, 4 / 2]))
    torch.testing.assert_close(loss(logits, torch.from_numpy(labels)), expected)


def test_logit_adjustment_makes_the_head_outbid_the_prior() -> None:
    """Logits equal to the log of a uniform posterior are what a prior-only loss would be satisfied with."""
    labels = np.array([0] * 9 + [1])
    loss = make_loss(labels, 2, TrainSettings(imbalance="logit_adjustment", tau=1, label_smoothing=0), CPU)
    logits = torch.zeros(10, 2, requires_grad=True)
    value = loss(logits, torch.from_numpy(labels))
    value.backward()
    prior = torch.tensor([0.9, 0.1])
    torch.testing.assert_close(value.detach(), -(prior * prior.log()).sum())  # equal logits: the prior's entropy
    torch.testing.assert_close(logits.grad.sum(dim=0), torch.zeros(2), atol=1e-6, rtol=0)  # and nothing to gain


def test_mixup_blends_features_and_losses_alike() -> None:
    x, y = torch.eye(4)[:, None], torch.arange(4)
    cross_entropy = make_loss(np.arange(4), 4, TrainSettings(imbalance="none", label_smoothing=0), CPU)
    blend, loss = mix_up(x, y, 0.4, cross_entropy, np.random.default_rng(0))
    torch.testing.assert_close(blend.sum(dim=2), torch.ones(4, 1))
    assert (blend[:, 0].argmax(dim=1) == y).all()  # the own label keeps the larger share
    logits = torch.randn(4, 4)
    soft = F.cross_entropy(logits, blend[:, 0])  # one-hot features blend exactly as the labels should
    torch.testing.assert_close(loss(logits, y), soft)


def test_the_average_of_weights_that_stand_still_is_the_weights() -> None:
    head = LSTMHead(plain_lstm(hidden_size=3), channels=4, classes=2)
    average = WeightAverage(head)
    torch.nn.init.ones_(head.linear.weight)
    for _ in range(2000):
        average.update()
    torch.testing.assert_close(average.head.linear.weight, head.linear.weight)


def test_schedules_rise_and_fall_where_they_say() -> None:
    cosine = TrainSettings(lr=1.0, epochs=10, warmup_epochs=2.0)
    assert learning_rate(cosine, 1.0) == pytest.approx(0.5)
    assert learning_rate(cosine, 2.0) == pytest.approx(1.0)
    assert learning_rate(cosine, 6.0) == pytest.approx(0.5)
    assert learning_rate(cosine, 10.0) == pytest.approx(0.0)
    one_cycle = TrainSettings(lr=1.0, epochs=10, schedule="one_cycle")
    rates = [learning_rate(one_cycle, epoch) for epoch in (0.0, 3.0, 10.0)]
    assert rates == pytest.approx([1 / 25, 1.0, 1e-4 / 25])
    plateau = TrainSettings(lr=1.0, epochs=10, schedule="plateau")
    assert learning_rate(plateau, 5.0, [0.1, 0.2, 0.3, 0.4, 0.5]) == 1.0
    assert learning_rate(plateau, 5.0, [0.5, 0.2, 0.3, 0.4]) == 0.5
    assert learning_rate(plateau, 8.0, [0.5, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1]) == 0.25


def test_one_cycle_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=2001, cycle_momentum=False)
    settings = TrainSettings(lr=1.0, epochs=100, schedule="one_cycle")
    for step in range(2001):
        assert learning_rate(settings, step / 20) == pytest.approx(theirs.get_last_lr()[0], abs=0.002)
        optimizer.step()
        if step < 2000:
            theirs.step()


def test_every_number_of_an_epoch_is_shown(make_project: MakeProject, caplog: pytest.LogCaptureFixture) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 15)
    with caplog.at_level(logging.INFO):
        train(project)
    folder = project.head / "log" / "plots" / "metrics"
    names = [f"{split}/{score}" for split in ("train", "val") for score in ("loss", "accuracy", "f1_macro")]
    for name in [*names, "lr", "seconds", "images_per_s"]:
        curve = pd.read_csv(folder / f"{name}.tsv", sep="\t")
        assert len(curve) == 4
        assert np.isfinite(curve.to_numpy()).all()
    for word in ("loss", "accuracy", "macro F1", "lr", "images/s"):
        assert word in caplog.text


def test_a_repository_without_a_commit_is_enough_and_gets_no_file_of_dvcs(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(["dabs", "dots"] * 15)
    subprocess.run(["git", "init", "-q", str(project.splits.parent)], check=True)
    monkeypatch.chdir(project.splits.parent)
    train(project, epochs=2)
    assert not (project.splits.parent / ".dvc").exists()
    assert (project.head / "log" / "metrics.json").is_file()


def test_whoever_may_read_the_folder_may_read_the_head(make_project: MakeProject) -> None:
    project = make_project(["dabs", "dots"] * 15)
    train(project, epochs=2)
    assert {path.stat().st_mode & 0o777 for path in project.head.iterdir() if path.is_file()} == {
        project.splits.stat().st_mode & 0o777
    }


def test_tensorboard_shows_the_same_numbers_where_asked_for(make_project: MakeProject) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    project = make_project(["dabs", "dots", "glaze"] * 15)
    train(project)
    assert not project.work.exists()
    train(project, tensorboard=True)
    events = EventAccumulator(str(project.work / "tensorboard")).Reload()
    written = [event.value for event in events.Scalars("val/f1_macro")]
    logged = pd.read_csv(project.head / "log" / "plots" / "metrics" / "val" / "f1_macro.tsv", sep="\t")["f1_macro"]
    assert written == pytest.approx(logged.tolist(), abs=1e-6)


def test_a_training_that_diverges_is_stopped_with_the_fix() -> None:
    with pytest.raises(StageError, match=r"the loss is NaN or infinite in epoch \d+: lower train.lr \(10.0\)"):
        fit({}, lr=10.0, weight_decay=10.0, clip_norm=0.0, schedule="plateau", epochs=60, patience=60)


KILLED = """
import sys
from pathlib import Path
from stages.train.train_head import train_head
from stages.core.head.recipe import Recipe
recipe, features, splits, destination, work = sys.argv[1:]
train_head(
    target="style", recipe=Recipe.model_validate_json(recipe), features=Path(features), splits=Path(splits),
    destination=Path(destination), work=Path(work),
)
"""
LONG = {"epochs": 60, "patience": 60, "batch_size": 8}


def kill_while_training(project: Project, **settings: object) -> None:
    """Train in a process of its own until a checkpoint is there, then SIGKILL."""
    recipe = Recipe(head=HEAD, train=TrainSettings(**{"lr": 0.01} | settings))
    command = [sys.executable, "-c", KILLED, recipe.model_dump_json()]
    command += [str(path) for path in (project.features, project.splits, project.head, project.work)]
    with subprocess.Popen(command, cwd=REPOSITORY) as process:
        while process.poll() is None and not (project.work / "checkpoint.safetensors").exists():
            time.sleep(0.01)
        time.sleep(0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def epochs_resumed(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.args[0] for record in caplog.records if record.msg.startswith("resuming after epoch")]


@pytest.mark.parametrize("settings", [LONG, LONG | EVERYTHING_ON])
def test_a_killed_training_goes_on_to_the_same_weights(
    make_project: MakeProject, settings: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 15, noise=3.0)
    train(project, **settings)
    expected = (project.head / "head.safetensors").read_bytes()
    curve = (project.head / "log" / "plots" / "metrics" / "val" / "loss.tsv").read_text()
    card = json.loads((project.head / "head.json").read_text())
    kill_while_training(project, **settings)
    with caplog.at_level(logging.INFO):
        train(project, **settings)
    assert len(epochs_resumed(caplog)) == 1
    assert 1 <= epochs_resumed(caplog)[0] < 60
    assert (project.head / "head.safetensors").read_bytes() == expected
    assert [line.split()[1:] for line in curve.splitlines()] == [
        line.split()[1:]
        for line in (project.head / "log" / "plots" / "metrics" / "val" / "loss.tsv").read_text().splitlines()
    ]
    assert json.loads((project.head / "head.json").read_text()) == card
    assert not project.work.exists()


def test_a_checkpoint_of_other_settings_or_labels_is_not_used(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 15)
    kill_while_training(project, **LONG)
    checkpoint = (project.work / "checkpoint.safetensors").read_bytes()
    with caplog.at_level(logging.INFO):
        train(project, epochs=2)
        assert "is of other data or settings: training starts again" in caplog.text
        project.work.mkdir(parents=True)
        (project.work / "checkpoint.safetensors").write_bytes(checkpoint)
        table = project.table.copy()
        first = table.index[table["split"] == "train"][0]
        table.loc[first, "style"] = "dots" if table.loc[first, "style"] == "dabs" else "dabs"
        table.to_csv(project.splits, index=False)
        adopt(project.splits, SPLIT_IMAGES)
        train(project, **LONG)
    assert epochs_resumed(caplog) == []


@pytest.mark.parametrize("damage", ["truncated", "empty", "without the moments"])
def test_a_damaged_checkpoint_is_not_used_and_said(
    make_project: MakeProject, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 15)
    train(project, **LONG)
    expected = (project.head / "head.safetensors").read_bytes()
    kill_while_training(project, **LONG)
    path = project.work / "checkpoint.safetensors"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        tensors = {name: value for name, value in load_file(path).items() if name != "head.linear.bias"}
        save_file(tensors, path, metadata)
    train(project, **LONG)
    assert "cannot be used" in caplog.text
    assert (project.head / "head.safetensors").read_bytes() == expected


def test_a_training_killed_after_its_last_epoch_is_only_written_down(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 15)
    settings = {"epochs": 1}
    train(project, **settings)
    expected = (project.head / "head.safetensors").read_bytes()
    monkeypatch.setattr(
        "stages.train.train_head.save_head", lambda *arguments: (_ for _ in ()).throw(StageError("killed"))
    )
    with pytest.raises(StageError, match="killed"):
        train(project, **settings)
    monkeypatch.undo()
    with caplog.at_level(logging.INFO):
        train(project, **settings)
    assert epochs_resumed(caplog) == [1]
    assert (project.head / "head.safetensors").read_bytes() == expected


def test_plateaus_are_counted_again_after_each_halving() -> None:
    settings = TrainSettings(lr=1.0, schedule="plateau", epochs=100)
    assert learning_rate(settings, 20.0, [1.0] + [0.0] * 12) == pytest.approx(math.pow(0.5, 4))


@pytest.mark.parametrize(
    ("tokens", "batch_size", "channels"), [(1, 32, 256), (9, 32, 256), (9, 128, 256), (9, 32, 1280)]
)
def test_the_number_of_threads_changes_no_bit(
    tokens: int, batch_size: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What heads that are trained side by side rely on. At some sizes sums of two threads differ: one does it all."""
    rng, forward, seen = np.random.default_rng(0), LSTMHead.forward, set()

    def recorded(self: LSTMHead, features: torch.Tensor) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return forward(self, features)

    monkeypatch.setattr(LSTMHead, "forward", recorded)
    x = np.abs(rng.standard_normal((200, 1, tokens, channels), dtype=np.float32)).astype(np.float16)
    y, before, weights = rng.integers(4, size=200), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            data = TrainingData(x, y, 4, np.arange(160), np.arange(160, 200))
            fitted = fit_head(data, Recipe(train=TrainSettings(epochs=1, batch_size=batch_size)), device=CPU)
            weights.append(b"".join(value.numpy().tobytes() for value in fitted.head.state_dict().values()))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert weights[0] == weights[1]
    assert seen == {1}

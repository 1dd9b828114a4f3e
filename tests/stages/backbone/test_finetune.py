"""Fine-tuning learns from the train split alone, freezes what it says, and ends the same however it is interrupted."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from stages.backbone.checkpoint import DamagedCheckpointError, load_checkpoint, save_checkpoint
from stages.backbone.finetune_data import Crops, Steps, read_labelled_images
from stages.backbone.finetune_network import Classifier, blocks, freeze, make_optimizer
from stages.backbone.settings import FinetuneSettings
from stages.core.errors import StageError
from stages.core.images.decoding.pool import worker_decoders
from stages.core.images.files import ImageFolder
from stages.core.images.transform import Transform
from stages.core.networks.torchvision_networks import build
from stages.core.optimisation.schedules import warmup_then_cosine
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from tests.conftest import REPOSITORY
from tests.stages.backbone.conftest import Collection

TUNING = {"target": "style", "unfreeze": "all", "epochs": 3, "batch_size": 12, "precision": "fp32"}
PARAMS = """
dataset: {{images: images}}
backbone:
  {{arch: resnet18, weights: random, calibration_images: 8, finetune: {tuning}}}
features: {{resize_px: 40, crop_px: 32, views: 1, tokens: 1}}
parallel: {{n_jobs: 1}}
"""


def tune(collection: Collection, n_jobs: int = 1, **settings: object) -> bytes:
    finetune = FinetuneSettings(**(TUNING | settings))
    return collection.prepare(n_jobs, arch="resnet18", weights="random", finetune=finetune)


def card(collection: Collection) -> dict:
    return json.loads(collection.weights.with_suffix(".json").read_text())


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def write_params(collection: Collection, **settings: object) -> None:
    (collection.root / "params.yaml").write_text(PARAMS.format(tuning=json.dumps(TUNING | settings)))


def test_a_killed_run_ends_in_the_same_bits(
    make_collection: Callable[..., Collection], caplog: pytest.LogCaptureFixture
) -> None:
    whole, killed = make_collection(folder="whole"), make_collection(folder="killed")
    write_params(killed, epochs=4)
    command = [sys.executable, "-m", "pipeline", "prepare-backbone"]
    checkpoint = killed.weights.with_name("finetune-checkpoint.safetensors")
    process = subprocess.Popen(command, cwd=killed.root, env=environment(), stderr=subprocess.DEVNULL)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not killed.weights.exists()
    with caplog.at_level(logging.INFO):
        resumed = tune(killed, epochs=4)
    assert "fine-tuning resumes after epoch" in caplog.text
    assert not checkpoint.exists()
    assert resumed == tune(whole, epochs=4)
    assert card(killed)["finetuned_on"] == card(whole)["finetuned_on"]


def test_a_checkpoint_with_a_flipped_bit_is_not_resumed_from(tmp_path: Path) -> None:
    """200 places over the whole file, header included: none of them may lead to other weights."""
    path = tmp_path / "checkpoint.safetensors"
    tensors = {"a": torch.arange(24.0).reshape(4, 6).T, "b": torch.tensor(3), "c": torch.ones(5, dtype=torch.bfloat16)}
    save_checkpoint(path, tensors, {"epoch": 3, "score": 0.1})
    read, numbers = load_checkpoint(path)
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert numbers == {"epoch": 3, "score": 0.1}
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 200).astype(int):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(DamagedCheckpointError):
            load_checkpoint(path)
    for end in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(DamagedCheckpointError):
            load_checkpoint(path)


def test_a_damaged_checkpoint_and_what_a_kill_left_are_replaced(
    make_collection: Callable[..., Collection], caplog: pytest.LogCaptureFixture
) -> None:
    collection, fresh = make_collection(), make_collection(folder="fresh")
    models = collection.weights.parent
    models.mkdir()
    (models / "finetune-checkpoint.safetensors").write_bytes(b"half of it")
    (models / ".finetune-checkpoint.safetensors.0123abcd.partial").write_bytes(b"half of it")
    (models / ".tmpAb3dE9").write_bytes(b"what safetensors was writing")
    weights = tune(collection, epochs=1)
    assert "finetune-checkpoint.safetensors is damaged" in caplog.text
    assert "fine-tuning starts again" in caplog.text
    assert weights == tune(fresh, epochs=1)
    assert sorted(path.name for path in models.iterdir()) == ["backbone.json", "backbone.safetensors", "records"]


def test_other_settings_do_not_take_up_an_old_checkpoint(
    make_collection: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, fresh = make_collection(), make_collection(folder="fresh")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *arguments, **options: None)  # as if it were killed at the very end
        tune(collection, epochs=1)
    assert collection.weights.with_name("finetune-checkpoint.safetensors").exists()
    assert tune(collection, epochs=1, lr=0.01) == tune(fresh, epochs=1, lr=0.01)


def test_the_number_of_workers_changes_no_bit(make_collection: Callable[..., Collection]) -> None:
    collection = make_collection()
    assert tune(collection, epochs=1) == tune(collection, n_jobs=2, epochs=1)


def test_two_processes_of_torchrun_learn_what_one_does(make_collection: Callable[..., Collection]) -> None:
    """With fixed batch-norm statistics no image's gradient depends on its batch, so the two differ by the rounding of
    sums alone. AdamW divides a gradient by its own size, so where one is nearly zero its rounding decides a whole step:
    hence the mean over all weights, which move by some 1e-5 to 1e-4 in this epoch, and not the largest."""
    one, two = make_collection(folder="one"), make_collection(folder="two")
    one.prepare(arch="resnet18", weights="random")
    start = load_file(one.weights)
    tune(one, epochs=1)
    write_params(two, epochs=1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "pipeline", "prepare-backbone"],
        cwd=two.root, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Backbone fine-tuned on style") == 1
    alone, together = card(one)["finetuned_on"], card(two)["finetuned_on"]
    assert (alone["processes"], together["processes"]) == (1, 2)
    for score in ("train/loss", "val/loss"):
        assert together["epochs"][0][score] == pytest.approx(alone["epochs"][0][score], rel=1e-4)
    ours, theirs = load_file(one.weights), load_file(two.weights)
    assert distance(ours, start) > 0
    assert distance(ours, theirs) < 1e-3 * distance(ours, start)


def distance(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """Mean absolute difference over all weights."""
    return float(torch.cat([(ours[name] - theirs[name]).flatten().abs().float() for name in ours]).mean())


def test_only_the_unfrozen_block_learns_and_no_statistic_moves(make_collection: Callable[..., Collection]) -> None:
    collection = make_collection()
    collection.prepare(arch="resnet18", weights="random")
    before = load_file(collection.weights)
    tune(collection, unfreeze="layer4", epochs=1)
    after = load_file(collection.weights)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("layer4.") and "running" not in name for name in changed)
    tune(collection, unfreeze="fc", epochs=1)
    assert all(torch.equal(value, before[name]) for name, value in load_file(collection.weights).items())


def test_updated_statistics_move_where_the_network_learns_and_nowhere_else(
    make_collection: Callable[..., Collection],
) -> None:
    collection = make_collection()
    collection.prepare(arch="resnet18", weights="random")
    before = load_file(collection.weights)
    tune(collection, unfreeze="layer4", batch_norm="update", epochs=1)
    after = load_file(collection.weights)
    moved = {name for name in before if name.endswith("running_mean") and not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("layer4.") and name.endswith("running_mean")}


def test_it_learns_and_says_what_it_saw(make_collection: Callable[..., Collection]) -> None:
    collection = make_collection(count=90)
    tune(collection, backbone_lr=1e-3, epochs=4, precision="bf16")
    saw = card(collection)["finetuned_on"]
    assert (saw["target"], saw["classes"], saw["train_images"], saw["val_images"]) == ("style", ["a", "b", "c"], 60, 18)
    assert saw["val_f1_macro"] == max(epoch["val/f1_macro"] for epoch in saw["epochs"]) > 0.6
    assert saw["epochs"][saw["best_epoch"] - 1]["val/f1_macro"] == saw["val_f1_macro"]
    assert saw["sentence"].startswith("Backbone fine-tuned on style: 60 train images of 3 classes, all unfrozen")
    assert saw["sentence"] in card(collection)["warning"]


def test_it_stops_when_validation_does_not_improve_and_keeps_the_best_weights(
    make_collection: Callable[..., Collection],
) -> None:
    collection = make_collection()
    # The rates are so low that no prediction changes: the first epoch stays the best.
    kept = tune(collection, epochs=4, patience=2, lr=1e-9, backbone_lr=1e-9, warmup_epochs=0)
    saw = card(collection)["finetuned_on"]
    assert (saw["best_epoch"], len(saw["epochs"])) == (1, 3)
    # An epoch's rates depend on how many there are at most, so stopping earlier gives the same first epoch.
    assert kept == tune(collection, epochs=4, patience=1, lr=1e-9, backbone_lr=1e-9, warmup_epochs=0)


def test_test_images_are_never_looked_at(make_collection: Callable[..., Collection]) -> None:
    collection = make_collection()
    before = tune(collection, epochs=1)
    lines = collection.splits.read_text().splitlines()
    for line in [line for line in lines if ",test," in line]:
        (collection.images / line.partition(",")[0]).unlink()
    other = [line.rpartition(",")[0] + ",another" if ",test," in line else line for line in lines]
    collection.splits.write_text("\n".join(other) + "\n")
    adopt(collection.splits, SPLIT_IMAGES)
    assert tune(collection, epochs=1) == before


def test_an_image_that_cannot_be_read_is_left_out_and_many_stop_the_run(
    make_collection: Callable[..., Collection], caplog: pytest.LogCaptureFixture
) -> None:
    collection = make_collection()
    train, _, _ = read_labelled_images("style", collection.splits)
    (collection.images / train.images[0]).unlink()
    tune(collection, epochs=1)
    assert f"{train.images[0]} left out of fine-tuning: missing" in caplog.text
    for image in train.images[1:9]:
        (collection.images / image).write_bytes(b"not an image")
    with pytest.raises(StageError, match="9 of 32 train images could not be read"):
        tune(collection, epochs=1, lr=0.002)


@pytest.mark.parametrize(
    ("settings", "arch", "message"),
    [
        ({"target": "genre"}, "resnet18", "no label column 'genre'"),
        ({"target": "picture"}, "resnet18", "no image of the val split"),
        ({"target": "part"}, "resnet18", "two or more classes"),
        ({"unfreeze": "layer4"}, "mobilenet_v3_small", "mobilenet_v3_small is no ResNet"),
    ],
)
def test_what_cannot_work_is_refused(
    make_collection: Callable[..., Collection], settings: dict, arch: str, message: str
) -> None:
    collection = make_collection()
    table = pd.read_csv(collection.splits, dtype=str, keep_default_na=False)
    table.assign(picture=table["group"], part=table["split"]).to_csv(collection.splits, index=False)
    adopt(collection.splits, SPLIT_IMAGES)
    with pytest.raises(StageError, match=message):
        collection.prepare(arch=arch, weights="random", finetune=FinetuneSettings(**(TUNING | settings)))


def test_an_epochs_crops_depend_on_seed_epoch_and_image_alone(make_collection: Callable[..., Collection]) -> None:
    collection = make_collection()
    train, _, _ = read_labelled_images("style", collection.splits)

    def pixels(epoch: int, **settings: object) -> np.ndarray:
        transform = Transform(resize_px=40, crop_px=32)
        crops = Crops(train, ImageFolder(collection.images), transform, FinetuneSettings(**settings))
        return crops.cut([(row, epoch) for row in range(8)], worker_decoders())[0].numpy()

    assert (pixels(1) == pixels(1)).all()
    assert (pixels(1) != pixels(2)).any()
    assert (pixels(1) != pixels(1, random_state=1)).any()
    plain = pixels(0)
    assert (pixels(3, random_crops=False, flips=False) == plain).all()
    flipped = pixels(3, random_crops=False)
    mirrored = (flipped == plain[..., ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == plain).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 0 < mirrored.sum() < 8


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_steps_are_the_same_for_any_number_of_processes(processes: int) -> None:
    shares = [list(Steps(50, 12, random_state=0, rank=rank, processes=processes)) for rank in range(processes)]
    together = [sorted(item for share in step for item in share) for step in zip(*shares, strict=True)]
    assert together == [sorted(step) for step in Steps(50, 12, random_state=0, rank=0, processes=1)]
    assert sorted(row for step in together for row, _ in step) == list(range(50))


def test_learning_rates_fall_from_block_to_block_towards_the_input() -> None:
    classifier = Classifier(build("resnet18", "random"), 512, 3)
    freeze(classifier, "resnet18", "layer3")
    settings = FinetuneSettings(lr=1.0, backbone_lr=0.1, layer_decay=0.5)
    rates = {id(p): g["peak_lr"] for g in make_optimizer(classifier, settings).param_groups for p in g["params"]}
    assert rates[id(classifier.fc.weight)] == 1.0
    assert rates[id(classifier.network.layer4[0].conv1.weight)] == 0.1
    assert rates[id(classifier.network.layer3[0].bn1.bias)] == 0.05
    assert id(classifier.network.layer2[0].conv1.weight) not in rates
    assert id(classifier.network.conv1.weight) not in rates


def test_every_kind_of_network_has_blocks() -> None:
    counts = {arch: len(set(blocks(build(arch, "random").network).values()))
              for arch in ("resnet18", "mobilenet_v2", "vit_b_32", "convnext_tiny")}  # fmt: skip
    assert counts == {"resnet18": 4, "mobilenet_v2": 19, "vit_b_32": 12, "convnext_tiny": 8}


def test_the_rate_rises_then_falls_to_zero() -> None:
    rates = [warmup_then_cosine(1.0, progress, warmup=0.2) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0, 0.5, 1, 0.5, 0])

"""The backbone is torchvision's ResNet-101 with `fc = Identity`, whoever's weights it has."""

import http.server
import json
import os
import pickle
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from stages.backbone.download import DownloadError, download
from stages.backbone.prepare_backbone import prepare_backbone
from stages.backbone.settings import BackboneSettings
from stages.backbone.weights import get_backbone, read_weights
from stages.core.errors import StageError
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import ImageFolder
from stages.core.networks.backbone import Backbone, NativeInput
from stages.core.networks.backbone_files import load_backbone, read_card, write_card
from stages.core.networks.feature_extractor import FeatureExtractor, normalise
from stages.core.networks.registry import build_backbone
from stages.core.records.artefacts import BACKBONE_CARD
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES

FEATURES = FeatureSettings(resize_px=72, crop_px=64)


@pytest.fixture(scope="module")
def resnet() -> Backbone:
    return get_backbone("resnet101", "random", random_state=0, timeout_s=1)[0]


@pytest.fixture(scope="module")
def random_state_dict(resnet: Backbone) -> dict[str, torch.Tensor]:
    return resnet.network.state_dict()


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), dtype=np.uint8))


@pytest.fixture
def splits(tmp_path: Path, image_root: Path, save_picture) -> Path:
    """Eight train images, in splits.csv."""
    import hashlib

    rows = ["image,sha256,split"]
    for seed in range(8):
        path = save_picture(f"{seed}.png", seed, (90, 70))
        rows.append(f"{path.name},{hashlib.sha256(path.read_bytes()).hexdigest()},train")
    (tmp_path / "splits.csv").write_text("\n".join(rows) + "\n")
    adopt(tmp_path / "splits.csv", SPLIT_IMAGES)
    return tmp_path / "splits.csv"


def prepare(splits: Path, image_root: Path, **settings: object) -> Path:
    weights = splits.parent / "models" / "backbone.safetensors"
    prepare_backbone(
        settings=BackboneSettings(calibration_images=8, **settings),
        features=FEATURES,
        splits=splits,
        images=ImageFolder(image_root),
        weights=weights,
    )
    return weights


def test_one_token_equals_torchvisions_network_without_fc(pixels: torch.Tensor) -> None:
    torch.manual_seed(0)
    reference = torchvision.models.resnet101()
    reference.fc = torch.nn.Identity()
    reference.eval()
    ours = build_backbone("resnet101")
    ours.network.load_state_dict(reference.state_dict())
    with torch.no_grad():
        expected = reference(normalise(pixels, ours.native_input))
    tokens = FeatureExtractor(ours, tokens=1)(pixels)
    assert tokens.shape == (4, 1, 2048)
    torch.testing.assert_close(tokens[:, 0], expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


@pytest.mark.parametrize("tokens", [4, 9, 16, 49])
def test_a_grid_is_the_last_map_read_row_by_row(random_state_dict: dict, tokens: int) -> None:
    resnet = build_backbone("resnet101")
    resnet.network.load_state_dict(random_state_dict)
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 224, 224), dtype=np.uint8))
    pixels[:, :, :112] = 0  # the upper half is black, so the first tokens differ most from the last
    sequence = FeatureExtractor(resnet, tokens=tokens)(pixels)
    assert sequence.shape == (1, tokens, 2048)
    first, second, last = sequence[0, 0], sequence[0, 1], sequence[0, -1]
    assert torch.dist(first, second) < torch.dist(first, last)


def test_the_pooled_vector_can_come_before_the_grid(random_state_dict: dict) -> None:
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 224, 224), dtype=np.uint8))

    def features(tokens: int, pooled_token: bool = False) -> torch.Tensor:
        resnet = build_backbone("resnet101")
        resnet.network.load_state_dict(random_state_dict)
        return FeatureExtractor(resnet, tokens=tokens, pooled_token=pooled_token)(pixels)

    both = features(4, pooled_token=True)
    assert torch.equal(both[:, :1], features(1))
    assert torch.equal(both[:, 1:], features(4))


def test_random_weights_are_calibrated_and_stay_far_from_float16s_limit(splits: Path, image_root: Path) -> None:
    weights = prepare(splits, image_root, weights="random")
    noise = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (8, 3, 64, 64), dtype=np.uint8))
    features = FeatureExtractor(load_backbone(weights, arch="resnet101"), tokens=1)(noise)
    assert torch.isfinite(features).all()
    assert features.std() > 0.01
    assert features.max() < 1000
    card = json.loads(weights.with_suffix(".json").read_text())
    assert (card["weights"], card["calibrated_on_images"], card["warning"]) == ("random", 8, None)


def test_a_card_that_is_read_and_written_is_the_same_file_with_keys_of_later_versions(
    splits: Path, image_root: Path
) -> None:
    weights = prepare(splits, image_root, arch="resnet18", weights="random")
    path = weights.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": [1, None]}, indent=2) + "\n")
    adopt(path, BACKBONE_CARD)
    before = path.read_bytes()
    write_card(read_card(weights), weights)
    assert path.read_bytes() == before


@pytest.mark.parametrize("key", ["arch", "digest", "channels", "prefix_tokens", "transform", "finetuned_on"])
def test_a_card_without_what_extraction_needs_is_refused(tmp_path: Path, key: str) -> None:
    whole = {"arch": "resnet18", "weights": "random", "digest": "0", "code_digest": None, "channels": 512,
             "prefix_tokens": 0, "finetuned_on": None, "transform": NativeInput().as_json()}  # fmt: skip
    (tmp_path / "backbone.json").write_text(json.dumps(whole))
    adopt(tmp_path / "backbone.json", BACKBONE_CARD)
    assert read_card(tmp_path / "backbone.safetensors").native_input == NativeInput()
    (tmp_path / "backbone.json").write_text(json.dumps({name: whole[name] for name in whole if name != key}))
    adopt(tmp_path / "backbone.json", BACKBONE_CARD)
    with pytest.raises(StageError, match="pipeline prepare-backbone"):
        read_card(tmp_path / "backbone.safetensors")


def test_the_same_seed_gives_the_same_file_and_another_seed_another(splits: Path, image_root: Path) -> None:
    first, again, other = (
        prepare(splits, image_root, weights="random", random_state=s).read_bytes() for s in (0, 0, 1)
    )
    assert first == again != other


def test_auto_falls_back_within_its_time_and_says_what_that_means(
    splits: Path, image_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    weights = prepare(splits, image_root, weights="auto")
    card = json.loads(weights.with_suffix(".json").read_text())
    assert (card["requested"], card["weights"]) == ("auto", "random")
    assert "expect scores far below" in card["warning"]


def test_a_named_weight_that_cannot_be_fetched_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(StageError, match="IMAGENET1K_V2 could not be fetched"):
        get_backbone("resnet101", "IMAGENET1K_V2", random_state=0, timeout_s=1)


def test_an_unknown_name_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(StageError, match="auto, random, IMAGENET1K_V1, IMAGENET1K_V2"):
        get_backbone("resnet101", "IMAGENET", random_state=0, timeout_s=1)


def test_local_files_with_and_without_wrappers_prefixes_and_fc_load(
    tmp_path: Path, resnet: Backbone, random_state_dict: dict
) -> None:
    with_fc = random_state_dict | {"fc.weight": torch.zeros(7, 2048), "fc.bias": torch.zeros(7)}
    torch.save(with_fc, tmp_path / "plain.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in with_fc.items()}}, tmp_path / "wrapped.pth")
    save_file({k: v for k, v in with_fc.items() if "num_batches" not in k}, tmp_path / "timm.safetensors")
    for name in ("plain.pth", "wrapped.pth", "timm.safetensors"):
        state = read_weights(tmp_path / name, resnet)
        assert state.keys() == random_state_dict.keys(), name
        assert all(torch.equal(state[key], random_state_dict[key]) for key in state), name


def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path: Path, resnet: Backbone) -> None:
    class Attack:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "attacked",))

    torch.save({"state_dict": Attack()}, tmp_path / "attack.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Attack()))
    for name in ("attack.pth", "bare.pth"):
        with pytest.raises(StageError, match=name):
            read_weights(tmp_path / name, resnet)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("name", ["missing.pth", "text.pth", "text.safetensors", "empty.pth"])
def test_a_file_that_is_no_weights_is_refused_in_one_line(tmp_path: Path, resnet: Backbone, name: str) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("not weights")
    if name.startswith("empty"):
        (tmp_path / name).touch()
    with pytest.raises(StageError, match=name):
        read_weights(tmp_path / name, resnet)


def test_another_network_is_refused_by_its_keys_and_shapes(
    tmp_path: Path, resnet: Backbone, random_state_dict: dict
) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(StageError, match="no resnet101 by its keys"):
        read_weights(tmp_path / "resnet18.pth", resnet)
    torch.save(random_state_dict | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "grey.pth")
    with pytest.raises(StageError, match=r"conv1\.weight has shape"):
        read_weights(tmp_path / "grey.pth", resnet)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_by_the_tensors_name(
    tmp_path: Path, resnet: Backbone, random_state_dict: dict, value: float
) -> None:
    spoiled = random_state_dict["layer2.0.conv1.weight"].clone()
    spoiled[0, 0, 0, 0] = value
    save_file(random_state_dict | {"layer2.0.conv1.weight": spoiled}, tmp_path / "spoiled.safetensors")
    with pytest.raises(StageError, match=r"spoiled\.safetensors: layer2\.0\.conv1\.weight holds 1 values that are NaN"):
        read_weights(tmp_path / "spoiled.safetensors", resnet)


def test_numbers_too_large_for_the_networks_type_are_refused(
    tmp_path: Path, resnet: Backbone, random_state_dict: dict
) -> None:
    large = torch.full_like(random_state_dict["conv1.weight"], 1e300, dtype=torch.float64)
    torch.save(random_state_dict | {"conv1.weight": large}, tmp_path / "large.pth")
    with pytest.raises(StageError, match=r"conv1\.weight holds 9,408 values"):
        read_weights(tmp_path / "large.pth", resnet)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.complex64, torch.bool, torch.float8_e4m3fn])
def test_weights_of_another_type_are_refused_by_the_tensors_name(
    tmp_path: Path, resnet: Backbone, random_state_dict: dict, dtype: torch.dtype
) -> None:
    other = torch.zeros(64, 3, 7, 7).to(dtype)
    torch.save(random_state_dict | {"conv1.weight": other}, tmp_path / "other.pth")
    with pytest.raises(StageError, match=rf"conv1\.weight has dtype {dtype}, resnet101 has torch\.float32"):
        read_weights(tmp_path / "other.pth", resnet)


def test_half_precision_weights_are_converted(tmp_path: Path, resnet: Backbone, random_state_dict: dict) -> None:
    torch.save({name: value.half() for name, value in random_state_dict.items()}, tmp_path / "half.pth")
    state = read_weights(tmp_path / "half.pth", resnet)
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


def test_tensors_that_are_views_or_no_table_are_refused_before_they_fill_the_memory(
    tmp_path: Path, resnet: Backbone
) -> None:
    wide = torch.zeros(1).expand(10**7, 10**7)
    for name, state in {
        "view": {"conv1.weight": wide}, "sparse": {"conv1.weight": torch.zeros(3, 3).to_sparse()},
        "numbered": {1: torch.zeros(3)}, "list": [torch.zeros(3)], "text": {"conv1.weight": "x"},
    }.items():  # fmt: skip
        torch.save(state, tmp_path / f"{name}.pth")
        with pytest.raises(StageError, match=rf"{name}\.pth"):
            read_weights(tmp_path / f"{name}.pth", resnet)


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path, resnet: Backbone) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 50_000_000)
    with pytest.raises(StageError, match=r"it would unpack to 47\.7 MiB"):
        read_weights(tmp_path / "bomb.pth", resnet)


def test_a_fifo_is_not_waited_for(tmp_path: Path, resnet: Backbone) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(StageError, match="is no regular file"):
        read_weights(tmp_path / "pipe.pth", resnet)


def test_a_damaged_file_in_torchs_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cut off")
    with pytest.raises(StageError, match=r"resnet18-f37072fd\.pth is damaged"):
        get_backbone("resnet18", "IMAGENET1K_V1", random_state=0, timeout_s=1)


class SlowHandler(http.server.BaseHTTPRequestHandler):
    """Answers /whole at once and /slow with a byte every second."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(1 if self.path == "/whole" else 60):
                self.wfile.write(b"weights")
                if self.path != "/whole":
                    time.sleep(1)
        except OSError:
            pass  # the client was ended, as it should be

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_a_download_is_checked_by_its_digest(tmp_path: Path, server: str) -> None:
    # SHA-256 of b"weights"
    download(f"{server}/whole", tmp_path / "w", digest_prefix="9a129038", timeout_s=60)
    assert (tmp_path / "w").read_bytes() == b"weights"
    with pytest.raises(DownloadError, match="not the file expected"):
        download(f"{server}/whole", tmp_path / "other", digest_prefix="00000000", timeout_s=60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w"]


def test_a_slow_download_is_ended_and_leaves_nothing(tmp_path: Path, server: str) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadError, match="took longer than 2 s"):
        download(f"{server}/slow", tmp_path / "w", digest_prefix="", timeout_s=2)
    assert time.monotonic() - started < 20
    assert list(tmp_path.iterdir()) == []

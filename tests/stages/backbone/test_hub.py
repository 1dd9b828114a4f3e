"""timm's trained weights come from the hub or its cache, as safetensors alone, and the card records what they are."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from stages.backbone.hub import fetch_from_hub
from stages.backbone.weights import get_backbone
from stages.core.errors import StageError
from stages.core.networks.backbone_files import load_backbone, read_card
from tests.stages.backbone.conftest import Collection
from tests.stages.backbone.hub_mirror import COMMIT, HubMirror, serving

timm = pytest.importorskip("timm")
huggingface_hub = pytest.importorskip("huggingface_hub")

ARCH, TAG, REPOSITORY = "timm:test_vit", "r160_in1k", "timm/test_vit.r160_in1k"


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    """A small network's weights with its classifier, as timm publishes them."""
    torch.manual_seed(7)
    return timm.create_model("test_vit").state_dict()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: dict[str, torch.Tensor]) -> Iterator[HubMirror]:
    """A hub that has the small network's weights, and an empty cache. The client has read its settings already."""
    with serving() as mirror:
        mirror.repositories[REPOSITORY] = {"model.safetensors": save(trained)}
        monkeypatch.setenv("HF_ENDPOINT", mirror.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield mirror


def partial_files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "hub").rglob("*.incomplete"))


@pytest.mark.parametrize(
    ("arch", "weights"), [(ARCH, "auto"), (ARCH, TAG), (f"{ARCH}.{TAG}", "auto"), (f"{ARCH}.{TAG}", TAG)]
)
def test_auto_and_a_tag_fetch_the_same_weights_without_their_classifier(
    mirror: HubMirror, trained: dict[str, torch.Tensor], arch: str, weights: str
) -> None:
    backbone, provenance = get_backbone(arch, weights, random_state=0, timeout_s=60)
    state = backbone.network.state_dict()
    assert trained.keys() - state.keys() == {"head.weight", "head.bias"}
    assert all(torch.equal(state[key], trained[key]) for key in state)
    digest = hashlib.sha256(mirror.repositories[REPOSITORY]["model.safetensors"]).hexdigest()
    assert (provenance.weights, provenance.digest, provenance.warning) == (TAG, digest, None)
    assert provenance.source == f"{REPOSITORY}@{COMMIT}/model.safetensors"


def test_the_card_records_repository_commit_digest_and_pooling_and_the_prepared_file_loads(
    mirror: HubMirror, make_collection: Callable[..., Collection]
) -> None:
    collection = make_collection(count=2)
    collection.prepare(arch=ARCH, weights=TAG)
    values = json.loads(collection.weights.with_suffix(".json").read_text())
    digest = hashlib.sha256(mirror.repositories[REPOSITORY]["model.safetensors"]).hexdigest()
    assert (values["weights"], values["source_digest"], values["pooled"]) == (TAG, digest, "class_token")
    assert values["source"] == f"{REPOSITORY}@{COMMIT}/model.safetensors"
    assert load_backbone(collection.weights, arch=ARCH).pooled == "class_token"
    assert read_card(collection.weights).native_input.multiple_px == 16


def test_a_file_in_the_cache_is_used_without_the_network(mirror: HubMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    get_backbone(ARCH, "auto", random_state=0, timeout_s=60)
    mirror.requests.clear()
    monkeypatch.setattr("stages.backbone.hub._download", lambda *a, **k: pytest.fail("a download was started"))
    _, provenance = get_backbone(ARCH, TAG, random_state=0, timeout_s=60)
    assert provenance.source.startswith(f"{REPOSITORY}@{COMMIT}")
    assert mirror.requests == []


def test_offline_nothing_is_asked_for(mirror: HubMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, provenance = get_backbone(ARCH, "auto", random_state=0, timeout_s=60)
    assert provenance.weights == "random"
    assert "offline mode is enabled" in str(provenance.warning)
    with pytest.raises(StageError, match=r"r160_in1k of timm:test_vit could not be fetched: .*offline mode"):
        get_backbone(ARCH, TAG, random_state=0, timeout_s=60)
    assert mirror.requests == []


def test_a_slow_hub_is_left_after_the_limit_for_random_weights_and_no_part_is_kept(
    mirror: HubMirror, tmp_path: Path
) -> None:
    mirror.bytes_per_s = 1000
    started = time.monotonic()
    _, provenance = get_backbone(ARCH, "auto", random_state=0, timeout_s=3)
    assert time.monotonic() - started < 20
    assert ("GET", "main/model.safetensors") in mirror.requests_for(REPOSITORY)
    assert (provenance.weights, provenance.source) == ("random", "seed 0")
    assert "took longer than 3 s" in str(provenance.warning)
    assert partial_files(tmp_path) == []


def test_a_hub_out_of_reach_means_random_weights_for_auto_and_an_error_for_a_tag(
    mirror: HubMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    started = time.monotonic()
    _, provenance = get_backbone(ARCH, "auto", random_state=0, timeout_s=60)
    assert "expect scores far below" in str(provenance.warning)
    with pytest.raises(StageError, match=r"out of reach: .*download it elsewhere and set backbone\.weights"):
        get_backbone(ARCH, TAG, random_state=0, timeout_s=60)
    assert time.monotonic() - started < 40


@pytest.mark.parametrize("weights", ["auto", TAG])
def test_a_repository_of_pickles_is_refused_and_none_is_fetched(mirror: HubMirror, weights: str) -> None:
    mirror.repositories[REPOSITORY] = {"pytorch_model.bin": b"a pickle"}
    with pytest.raises(StageError, match=r"r160_in1k on .* has no model\.safetensors, .* pickles, .* convert them"):
        get_backbone(ARCH, weights, random_state=0, timeout_s=60)
    assert mirror.requests_for(REPOSITORY) == {("HEAD", "main/model.safetensors")}


def test_a_repository_that_is_not_there_or_closed_is_refused(mirror: HubMirror) -> None:
    mirror.closed.add(REPOSITORY)
    with pytest.raises(StageError, match="terms to accept"):
        get_backbone(ARCH, "auto", random_state=0, timeout_s=60)
    del mirror.repositories[REPOSITORY]
    with pytest.raises(StageError, match=r"there is no timm/test_vit\.r160_in1k on the Hugging Face hub for you"):
        get_backbone(ARCH, "auto", random_state=0, timeout_s=60)


def test_a_damaged_file_of_the_cache_is_fetched_again(mirror: HubMirror) -> None:
    file = fetch_from_hub(REPOSITORY, "model.safetensors", revision=None, timeout_s=60)
    whole = file.path.read_bytes()
    file.path.resolve().write_bytes(whole[:-4] + b"\0\1\2\3")
    assert fetch_from_hub(REPOSITORY, "model.safetensors", revision=None, timeout_s=60) == file
    assert file.path.read_bytes() == whole


def test_weights_of_another_network_and_a_file_that_is_none_are_refused(mirror: HubMirror) -> None:
    other = timm.create_model("test_vit3").state_dict()
    for content, message in ((save(other), "is no timm:test_vit by its keys"), (b"<html>", "cannot be read")):
        mirror.repositories[REPOSITORY] = {"model.safetensors": content}
        with pytest.raises(StageError, match=message):
            get_backbone(ARCH, "auto", random_state=0, timeout_s=60)
        (Path(huggingface_hub.constants.HF_HUB_CACHE) / "models--timm--test_vit.r160_in1k").rename(
            Path(huggingface_hub.constants.HF_HUB_CACHE) / f"away-{len(content)}"
        )


def test_weights_under_their_first_authors_names_are_converted(
    mirror: HubMirror, trained: dict[str, torch.Tensor]
) -> None:
    mirror.repositories[REPOSITORY] = {
        "model.safetensors": save({f"visual.trunk.{key}": value for key, value in trained.items()})
    }
    state = get_backbone(ARCH, TAG, random_state=0, timeout_s=60)[0].network.state_dict()
    assert all(torch.equal(state[key], trained[key]) for key in state)


@pytest.mark.parametrize(("arch", "weights"), [(ARCH, "r160"), (f"{ARCH}.{TAG}", "a1_in1k")])
def test_a_wrong_tag_is_refused_with_those_that_there_are(arch: str, weights: str) -> None:
    with pytest.raises(StageError, match=rf"allowed for {arch}: auto, random, {TAG}, or a \.pth"):
        get_backbone(arch, weights, random_state=0, timeout_s=1)


def test_a_network_whose_weights_are_not_on_the_hub_is_refused_with_their_address() -> None:
    with pytest.raises(StageError, match=r"allowed for timm:legacy_seresnet18: random, .* at https://\S+\.pth"):
        get_backbone("timm:legacy_seresnet18", "auto", random_state=0, timeout_s=1)

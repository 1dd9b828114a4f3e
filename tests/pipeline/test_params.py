"""params.yaml is read strictly: whoever gets it wrong is told the key and what is allowed."""

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from pipeline.params import Params, ParamsError, load_params, write_values
from tests.conftest import REPOSITORY


def load(tmp_path: Path, text: str, *overrides: str) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_params(path, overrides)


def test_the_committed_file_spells_out_every_default() -> None:
    committed = load_params(REPOSITORY / "params.yaml")
    assert committed == Params()
    for section in Params.model_fields:
        assert f"\n{section}:" in (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


def test_a_key_left_out_keeps_its_default(tmp_path: Path) -> None:
    assert load(tmp_path, "train: {lr: 0.5}").train.epochs == Params().train.epochs


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        ("trian: {}", "trian", "train"),
        ("train: {learning_rate: 1}", "train.learning_rate", "lr"),
        ("demo: {image: 3}", "demo.image", "images"),
        ("train: {lr: '0.1'}", "train.lr", "number"),
        ("train: {lr: -1}", "train.lr", "greater than 0"),
        ("train: {epochs: 2.5}", "train.epochs", "integer"),
        ("train: {epochs: true}", "train.epochs", "integer"),
        ("head: {hiden_size: 8}", "head.hiden_size", "hidden_size"),
        ("head: {readout: median}", "head.readout", "'mean'"),
        ("head: {kind: gru}", "head.kind", "'lstm'"),
        ("features: {tokens: 5}", "features.tokens", "1, 4, 9, 16 or 49"),
        ("features: {pooled_token: true, tokens: 1}", "features", "needs a grid"),
        ("features: {precision: int8}", "features.precision", "'fp32'"),
        ("features: {batch_size: 0}", "features", "batch_size must be auto or a whole number"),
        ("split: {ratios: [0.6, 0.6, 0.2]}", "split.ratios", "add up to 1"),
        ("split: {ratios: [1.0]}", "split.ratios", "at least 3"),
        ("features: {crop_px: 10}", "features.crop_px", "from 32 to 2048"),
        ("backbone: {arch: ../resnet}", "backbone.arch", "package.module:function"),
        ("backbone: {finetune: {unfreeze: layer2}}", "backbone.finetune.unfreeze", "'layer3'"),
        ("targets: []", "targets", "at least 1"),
        ("targets: [style, style]", "targets", "twice"),
        ("targets: ['../style']", "targets.0", "letters, digits"),
        ("targets: style", "targets", "list"),
        ("parallel: {n_jobs: 0}", "parallel.n_jobs", "not be 0"),
        ("tune: {space: {train: {rate: [1]}}}", "tune.space", "train.rate is no setting"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path: Path, text: str, key: str, allowed: str) -> None:
    with pytest.raises(ParamsError) as error:
        load(tmp_path, text)
    message = str(error.value)
    assert f": {key}: " in message
    assert allowed in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["[1, 2]", "", "train: {lr: [", "\x00"])
def test_a_file_that_is_no_settings_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError) as error:
        load(tmp_path, text)
    assert "params.yaml" in str(error.value)
    assert "\n" not in str(error.value)


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
HOSTILE = {
    "brackets": ("targets: [style]\ndemo: " + "[" * 3000, "line 2: more than 32 lists and sections"),
    "dashes": ("- " * 3000, "line 1: more than 32 lists and sections"),
    "digits": ("\ntrain: {lr: " + "1" * 5000 + "}", "line 2: a number of 5,000 digits"),
    "hexadecimal digits": ("train: {lr: 0x" + "f" * 5000 + "}", "line 1: a number of 5,002 digits"),
    "a billion laughs": (LAUGHS, "line 6: more than 20,000 values, aliases included"),
    "a list in itself": ("a: &a [*a]", "line 1: *a stands inside"),
    "a NUL": ("train: {}\n\x00", "line 2: holds the control character U+0000"),
    "an escape sequence": ("train:\n  lr: \x1b[2J", "line 2: holds the control character U+001B"),
    "a tag that runs code": ("a: !!python/object/apply:os.system [ls]", "line 1: could not determine a constructor"),
    "no date": ("a: 2020-13-45", "month must be in 1..12"),
    "a list as a key": ("{{a: b}: c}", "line 1: found unhashable key"),
    "no mapping to merge": ("a: {<<: 3}", "line 1: expected a mapping"),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_by_its_line_and_quickly(tmp_path: Path, text: str, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(ParamsError) as error:
        load(tmp_path, text)
    assert time.monotonic() - started < 10
    assert "params.yaml is not valid YAML: " in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_override_is_refused_by_its_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ParamsError) as error:
        load(tmp_path, "train: {}", f"train.lr={text}")
    assert str(error.value).startswith("--set train.lr: not a YAML value: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train: {lr: 0.1}\n".encode("utf-16"), "line 1: is UTF-16"),
        (b"train: {}\n# caf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
        (b"# " + b"x" * 100_000_000, "95.4 MiB: a file of settings has at most 1 MiB"),
    ],
    ids=["UTF-16", "Latin-1", "100 MB"],
)
def test_another_encoding_or_size_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ParamsError, match=message):
        load_params(tmp_path / "params.yaml")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ParamsError, match="is no regular file"):
            load_params(path)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(ParamsError, match="circle is not valid YAML: cannot be read"):
        load_params(tmp_path / "circle")


def test_a_byte_order_mark_and_windows_line_ends_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xef\xbb\xbftrain:\r\n  lr: 0.5\r\n")
    assert load_params(tmp_path / "params.yaml").train.lr == 0.5


def test_a_message_repeats_little_of_a_long_value(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as error:
        load(tmp_path, f"train: {{lr: {'x' * 100_000}}}")
    assert len(str(error.value)) < 500


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"nowhere\.yaml does not exist"):
        load_params(tmp_path / "nowhere.yaml")


def test_an_override_wins_over_the_file(tmp_path: Path) -> None:
    params = load(tmp_path, "train: {lr: 0.5}", "train.lr=1e-4", "dataset.labels=labels.csv", "targets=[a, b]")
    assert (params.train.lr, params.dataset.labels, params.targets) == (1e-4, "labels.csv", ["a", "b"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr", "key=value"),
        ("=3", "key=value"),
        ("train.lrr=1", "train.lrr: unknown key"),
        ("train.lr.x=1", "lr is a value"),
        ("train.lr=[", "not a YAML value"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load(tmp_path, "train: {lr: 0.5}", override)


def test_values_are_written_and_every_other_line_stays(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    write_values(path, {"train.lr": 0.0000123, "train.batch_size": 48, "head.readout": "last", "head.skip": "none"})
    after = path.read_text(encoding="utf-8")
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert [new.split()[:2] for _, new in changed] == [
        ["readout:", "last"], ["skip:", "none"], ["lr:", "1.23e-05"], ["batch_size:", "48"],
    ]  # fmt: skip
    for old, new in changed:
        assert old.partition("#")[2] == new.partition("#")[2]
    params = load_params(path)
    assert (params.train.lr, params.train.batch_size) == (0.0000123, 48)


def test_values_of_a_section_that_is_left_out_are_added(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("targets: [style]  # one\n")
    write_values(path, {"train.lr": 0.5})
    assert path.read_text() == "targets: [style]  # one\ntrain:\n  lr: 0.5\n"


def test_values_that_are_not_allowed_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {lr: 0.1}\n")
    with pytest.raises(ParamsError, match=r"train\.lr: should be greater than 0"):
        write_values(path, {"train.lr": -1.0})
    assert path.read_text() == "train: {lr: 0.1}\n"

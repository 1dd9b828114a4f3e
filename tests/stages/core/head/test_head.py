"""A head learns what can be learned, is scored honestly, and is refused where it does not belong."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax
from sklearn.metrics import f1_score, log_loss

from cache import FeatureStore, publish
from stages.core.errors import StageError
from stages.core.features.artefact import FEATURES, describe_backbone
from stages.core.head.fit import fit_head
from stages.core.head.lstm import LSTMHead, without_probe
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.head.temperature import fit_harmless_temperature, fit_temperature, negative_log_likelihood
from stages.core.head.training_data import TrainingData
from stages.core.records.artefacts import HEAD_CARD
from stages.core.records.outputs import adopt
from stages.core.scoring.calibration import expected_calibration_error
from stages.core.scoring.metrics import score
from stages.core.tables.columns import SPLIT_IMAGES
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.outliers.find_outliers import find_outliers
from stages.outliers.settings import OutlierSettings
from stages.train.train_head import train_head
from tests.stages.conftest import Project, plain_lstm

MakeProject = Callable[..., Project]
HEAD = LSTMSettings(hidden_size=24, dropout=0.2)
TRAIN = TrainSettings(epochs=30, batch_size=16, lr=0.01)
CLASSES = ["dabs", "dots", "glaze"]
CPU = torch.device("cpu")


def train(project: Project, target: str = "style", head: LSTMSettings = HEAD, **settings: object) -> str:
    return train_head(
        target=target,
        recipe=Recipe(head=head, train=TRAIN.model_copy(update=settings)),
        features=project.features,
        splits=project.splits,
        destination=project.head,
        work=project.work,
    )


def evaluate(project: Project) -> dict:
    evaluate_head(
        target="style",
        settings=EvaluateSettings(),
        features=project.features,
        splits=project.splits,
        head=project.head,
        destination=project.reports,
    )
    return json.loads((project.reports / "metrics.json").read_text())


@pytest.mark.parametrize(("target", "said"), [(None, "resnet101, frozen"), ("style", "resnet101, fine-tuned on style")])
def test_the_backbone_is_named_with_what_it_was_fine_tuned_on(tmp_path: Path, target: str | None, said: str) -> None:
    store = FeatureStore(tmp_path / "store", {"arch": "resnet101", "finetuned_on": target}, (1, 1, 4))
    with store.writer() as writer:
        writer.append(["a" * 64], np.zeros((1, 1, 1, 4), np.float16))
    publish(store, ["a" * 64], ["a.jpg"], tmp_path / "features")
    adopt(tmp_path / "features" / "features.h5", FEATURES)
    assert describe_backbone(tmp_path / "features") == said


def outliers(project: Project, **settings: object) -> pd.DataFrame:
    find_outliers(
        target="style",
        settings=OutlierSettings(**settings),
        features=project.features,
        splits=project.splits,
        head=project.head,
        destination=project.reports,
    )
    return pd.read_csv(project.reports / "outliers.csv", dtype=str, keep_default_na=False)


def test_a_head_learns_what_can_be_learned_and_beats_the_majority(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 40)
    train(project)
    metrics = evaluate(project)
    assert metrics["test"]["accuracy"] > 0.9
    assert metrics["baselines"]["logistic_regression"]["test"]["accuracy"] > 0.9
    assert metrics["baselines"]["majority"]["test"]["accuracy"] < 0.5


def test_a_head_learns_nothing_from_labels_that_mean_nothing(make_project: MakeProject) -> None:
    project = make_project(np.random.default_rng(0).permutation(CLASSES * 60).tolist(), noise=1000.0)
    train(project)
    assert evaluate(project)["test"]["accuracy"] < 0.6


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 15)
    weights = []
    for seed in (0, 0, 1):
        train(project, random_state=seed, epochs=4)
        weights.append((project.head / "head.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_the_test_split_has_no_part_in_training(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 15)
    train(project, epochs=4)
    before = (project.head / "head.safetensors").read_bytes()
    table = project.table.copy()
    table.loc[table["split"] == "test", "style"] = "dabs"
    table.to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    train(project, epochs=4)
    assert (project.head / "head.safetensors").read_bytes() == before


def test_the_probes_path_and_the_lstms_are_averaged_after_calibration(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 30, noise=4.0)
    weights = {}
    for skip in ("none", "probe"):
        summary = train(project, head=HEAD.model_copy(update={"skip": skip}))
        weights[skip] = load_file(project.head / "head.safetensors")
        card = json.loads((project.head / "head.json").read_text())
    alone, both = weights["none"]["linear.weight"], weights["probe"]["linear.weight"]
    ratio = both / alone  # the LSTM learns by itself, then its logits are halved and divided by their temperature
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
    assert torch.equal(weights["none"]["lstm.weight_hh_l0"], weights["probe"]["lstm.weight_hh_l0"])
    assert weights["probe"]["skip.weight"].abs().max() > 0
    val = evaluate(project)["val"]  # the summary tells the scores of the whole head beside those of the LSTM
    assert f"averaged with the logistic regression {val['accuracy']:.3f} and {val['f1_macro']:.3f}" in summary
    assert card["temperature"] == pytest.approx(1, abs=0.5)  # two calibrated models' mean is nearly calibrated


def halves_of_an_image(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens whose order tells the class, and whose mean tells nothing; a fifth of the labels is wrong."""
    rng = np.random.default_rng(0)
    labels, first = rng.integers(0, 2, rows), rng.standard_normal(40) * 3
    tokens = np.where(labels, 1, -1)[:, None, None, None] * np.stack([first, -first])
    wrong = rng.random(rows) < 0.2
    return (tokens + rng.standard_normal((rows, 1, 2, 40))).astype(np.float16), np.where(wrong, 1 - labels, labels)


def test_the_logistic_regression_is_left_out_where_val_says_that_it_does_harm() -> None:
    features, labels = halves_of_an_image(400)
    data = TrainingData(features, labels, 2, np.arange(200), np.arange(200, 400))
    head = LSTMSettings(hidden_size=12, projection=0, power_norm=1.0, bidirectional=False, readout="last")
    recipe = Recipe(head=head, train=TrainSettings(epochs=12, batch_size=16, lr=0.01, mixup=0.0))
    alone = fit_head(data, recipe.model_copy(update={"head": head.model_copy(update={"skip": "none"})}), device=CPU)
    both = fit_head(data, recipe, device=CPU)
    assert both.finish_note.startswith("not averaged with the logistic regression (log-loss ")
    assert not both.head.skip.weight.any()
    np.testing.assert_array_equal(both.val_logits, alone.val_logits)
    assert without_probe(both.head).linear.weight.equal(both.head.linear.weight)


def test_the_best_epoch_on_validation_is_the_one_kept(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 30, noise=4.0)
    train(project, head=HEAD.model_copy(update={"skip": "none"}), patience=3)
    curve = pd.read_csv(project.head / "log" / "plots" / "metrics" / "val" / "f1_macro.tsv", sep="\t")["f1_macro"]
    card = json.loads((project.head / "head.json").read_text())
    assert card["epoch"] == int(curve.argmax()) + 1
    assert len(curve) == card["epochs_trained"] <= card["epoch"] + 3
    assert evaluate(project)["val"]["f1_macro"] == pytest.approx(curve.max(), abs=1e-6)


def test_the_mean_readout_sees_every_state() -> None:
    torch.manual_seed(0)
    head = LSTMHead(plain_lstm(hidden_size=6, readout="mean"), channels=8, classes=3).eval()
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(head(x), head.linear(head.lstm(x)[0].mean(dim=1)))


def test_scores_are_scikit_learns(make_project: MakeProject) -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 5, 200), rng.dirichlet(np.ones(5), 200)
    scores = score(y, p)
    assert scores["f1_macro"] == pytest.approx(f1_score(y, p.argmax(1), average="macro"))
    assert scores["log_loss"] == pytest.approx(log_loss(y, p))
    assert scores["n"] == 200
    assert (
        score(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]))["log_loss"] < 30
    )  # one sure mistake is no infinity


def test_the_tables_agree_with_the_scores(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 30, labels=[*CLASSES * 29, "", "", ""], noise=4.0)
    train(project)
    metrics = evaluate(project)
    predictions = pd.read_csv(project.reports / "predictions.csv", keep_default_na=False)
    assert len(predictions) == 90  # unlabelled images are predicted too
    assert (predictions["y_true"] == "").sum() == 3
    for split, suffix in (("test", ""), ("val", "_val")):
        of_split = predictions[(predictions["split"] == split) & (predictions["y_true"] != "")]
        assert (of_split["y_true"] == of_split["y_pred"]).mean() == pytest.approx(metrics[split]["accuracy"])
        confusion = pd.read_csv(project.reports / f"confusion{suffix}.csv", index_col="y_true")
        assert np.trace(confusion) / confusion.to_numpy().sum() == pytest.approx(metrics[split]["accuracy"])
        per_class = pd.read_csv(project.reports / f"per_class{suffix}.csv")
        assert per_class["f1"].mean() == pytest.approx(metrics[split]["f1_macro"], abs=1e-5)
        assert per_class["support"].sum() == metrics[split]["n"]


def test_temperature_lowers_the_loss_of_overconfident_logits() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 500)
    logits = 10 * (np.eye(3)[labels] + rng.standard_normal((500, 3)))
    temperature = fit_temperature(logits, labels)
    assert temperature > 2
    assert negative_log_likelihood(logits / temperature, labels) < negative_log_likelihood(logits, labels)


def test_a_temperature_never_raises_the_calibration_error_of_the_images_it_is_fitted_to() -> None:
    """Of predictions that are nearly calibrated the likelihood's temperature often does."""
    raised = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits = 2 * rng.standard_normal((200, 4))
        labels = np.array([rng.choice(4, p=row) for row in softmax(logits, axis=1)])
        plain, harmless = fit_temperature(logits, labels), fit_harmless_temperature(logits, labels)
        errors = [expected_calibration_error(labels, softmax(logits / t, axis=1)) for t in (1.0, plain, harmless)]
        raised += errors[1] > errors[0]
        assert errors[2] == min(errors[:2])
        assert harmless in (1.0, plain)
    assert raised > 2


def test_wrong_labels_lead_the_suspects(make_project: MakeProject) -> None:
    truth = CLASSES * 40
    labels = list(truth)
    for row in (0, 31, 62, 93):
        labels[row] = CLASSES[(CLASSES.index(truth[row]) + 1) % 3]
    project = make_project(truth, labels=labels)
    train(project)
    suspects = outliers(project).query("kind == 'suspect_label'").head(4)
    assert set(suspects["image"]) == {"0000.jpg", "0031.jpg", "0062.jpg", "0093.jpg"}
    assert (suspects["suggested"] == [truth[int(image[:4])] for image in suspects["image"]]).all()


def test_strangers_lead_the_out_of_distribution_images_even_with_a_copy(make_project: MakeProject) -> None:
    project = make_project(["alien", "alien", *CLASSES * 30], labels=["dabs", "dabs", *CLASSES * 30],
                           groups=[0, 0, *range(1, 91)], noise=0.3)  # fmt: skip
    train(project)
    unlike = outliers(project).query("kind == 'out_of_distribution'")
    assert set(unlike.head(2)["image"]) == {"0000.jpg", "0001.jpg"}
    assert "0001.jpg" not in json.loads(unlike.set_index("image").loc["0000.jpg", "neighbours"])


def test_copies_with_other_labels_are_conflicts(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 20, groups=[0, 0, *range(1, 59)])
    train(project)
    conflicts = outliers(project).query("kind == 'conflicting_labels'")
    assert conflicts["image"].tolist() == ["0000.jpg", "0001.jpg"]
    assert "dabs, dots" in conflicts["reason"].iloc[0]


def test_a_target_that_no_column_has_is_named_with_those_there_are(make_project: MakeProject) -> None:
    with pytest.raises(StageError, match=r"no label column 'period'; it has: style"):
        train(make_project(CLASSES * 5), target="period")


def test_one_class_alone_is_refused(make_project: MakeProject) -> None:
    with pytest.raises(StageError, match=r"two or more classes are needed .* there is only 'dabs'"):
        train(make_project(["dabs"] * 10))


def test_a_class_with_one_image_is_learned_and_said(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    splits = ["train", *(["train", "train", "val", "test"] * 10)]
    project = make_project(["rare", *CLASSES[:2] * 20], splits=splits)
    train(project, epochs=3)
    assert "class 'rare' has 1 images, none in val or test" in caplog.text
    assert "rare" in json.loads((project.head / "head.json").read_text())["classes"]
    assert evaluate(project)["test"]["n"] == 10


def test_a_class_that_train_lacks_is_left_out_and_said(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    splits = ["test", *(["train", "train", "val", "test"] * 10)]
    project = make_project(["rare", *CLASSES[:2] * 20], splits=splits)
    train(project, epochs=3)
    assert "class 'rare' has no train image; its 1 images are left out" in caplog.text
    assert evaluate(project)["test"]["n"] == 10


def test_labels_missing_from_a_split_are_refused(make_project: MakeProject) -> None:
    with pytest.raises(StageError, match=r"no image of the val split .* has a label"):
        train(make_project(CLASSES * 4, splits=["train"] * 9 + ["test"] * 3))


def test_a_head_of_other_features_is_refused_with_the_fix(make_project: MakeProject) -> None:
    project, other = make_project(CLASSES * 10), make_project(CLASSES * 10, seed=1, folder="other")
    train(project, epochs=2)
    other.head = project.head
    with pytest.raises(StageError, match=r"was trained on features .* run `pipeline train-head --target style` again"):
        evaluate(other)


def test_a_head_of_other_classes_is_refused_with_the_fix(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 10)
    train(project, epochs=2)
    table = project.table.replace("dots", "points")
    table.to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    with pytest.raises(StageError, match="other classes of style than its head was trained on"):
        evaluate(project)


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"classes": 3}'])
def test_a_damaged_head_is_refused_with_the_fix(make_project: MakeProject, content: str) -> None:
    project = make_project(CLASSES * 10)
    train(project, epochs=1)
    (project.head / "head.json").write_text(content)
    with pytest.raises(StageError, match=r"is not what `pipeline train-head --target style` wrote .*: run it again"):
        evaluate(project)
    adopt(project.head / "head.json", HEAD_CARD, "style")
    with pytest.raises(StageError, match="run `pipeline train-head --target style` again"):
        evaluate(project)

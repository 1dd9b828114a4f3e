"""Read params.yaml, with `--set` overrides, into the stages' typed settings.

In: the file and the overrides. Out: one frozen `Params`, or an error that names the key and what is allowed.
"""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from cache.atomic import write_text
from pipeline.yaml_file import YamlError, parse, read_text
from stages.backbone.settings import BackboneSettings
from stages.clean.settings import CleanSettings
from stages.compare.settings import CompareSettings
from stages.core.extraction.settings import FeatureSettings
from stages.core.head.registry import DEFAULT_HEAD, AnyHeadSettings
from stages.core.head.settings import TrainSettings
from stages.core.parallel import ParallelSettings
from stages.core.settings import Settings
from stages.core.tables.columns import label_name_problem
from stages.demo.settings import DemoSettings
from stages.evaluate.settings import EvaluateSettings
from stages.ingest.settings import DatasetSettings
from stages.outliers.settings import OutlierSettings
from stages.report.settings import ReportSettings
from stages.review.settings import ReviewSettings
from stages.score.settings import ScoreSettings
from stages.split.settings import SplitSettings
from stages.tune.settings import TuneSettings

# How much of a wrong value a message repeats.
GIVEN_CHARACTERS = 200


class ParamsError(Exception):
    """Settings that cannot be used: which key, what it was given, what is allowed."""


def _check_target(name: str) -> str:
    if problem := label_name_problem(name):
        raise ValueError(problem)
    return name


def _check_unique(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("must not name a column twice")
    return names


class Params(Settings):
    """Everything that params.yaml can say; a key left out keeps its default."""

    targets: Annotated[list[Annotated[str, AfterValidator(_check_target)]], AfterValidator(_check_unique)] = Field(
        ["style", "genre", "artist"], min_length=1
    )
    """Label columns to train a head for."""
    demo: DemoSettings = DemoSettings()
    dataset: DatasetSettings = DatasetSettings()
    clean: CleanSettings = CleanSettings()
    split: SplitSettings = SplitSettings()
    backbone: BackboneSettings = BackboneSettings()
    features: FeatureSettings = FeatureSettings()
    head: AnyHeadSettings = DEFAULT_HEAD
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    score: ScoreSettings = ScoreSettings()
    compare: CompareSettings = CompareSettings()
    outliers: OutlierSettings = OutlierSettings()
    tune: TuneSettings = TuneSettings()
    report: ReportSettings = ReportSettings()
    review: ReviewSettings = ReviewSettings()
    parallel: ParallelSettings = ParallelSettings()


def load_params(path: Path, overrides: Sequence[str] = ()) -> Params:
    """Read and check the settings.

    Parameters
    ----------
    path
        A YAML 1.2 file.
    overrides
        `section.key=value` texts, the value written as in YAML; they win over the file.

    Raises
    ------
    ParamsError
        If the file cannot be read or a key or value is not allowed.
    """
    raw = _read_yaml(path)
    for override in overrides:
        _apply(raw, override)
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(f"{path}: " + "; ".join(_explain(detail) for detail in error.errors())) from None


def write_values(path: Path, values: dict[str, Any]) -> None:
    """Set values in the file, `{"train.lr": 0.001}`; comments, order and all other lines stay as they are.

    Raises
    ------
    ParamsError
        If the file is no longer one that can be read, or would not be with these values: it is then left as it was.
    """
    _read_yaml(path)
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    # Without this, `null` would become an empty value.
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    params = yaml.load(read_text(path))
    for dotted, value in values.items():
        section, _, key = dotted.partition(".")
        if params.get(section) is None:
            params[section] = {}
        params[section][key] = value
    written = StringIO()
    yaml.dump(params, written)
    try:
        Params.model_validate(parse(written.getvalue()))
    except ValidationError as error:
        raise ParamsError(f"{path}: " + "; ".join(_explain(detail) for detail in error.errors())) from None
    write_text(path, written.getvalue())


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = parse(read_text(path))
    except FileNotFoundError:
        raise ParamsError(
            f"{path} does not exist: copy the project's params.yaml here, or name one with --params"
        ) from None
    except YamlError as error:
        hint = "; write `&labels` before the value of dataset.labels" if "undefined alias" in str(error) else ""
        raise ParamsError(f"{path} is not valid YAML: {error}{hint}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path} must hold sections such as `features:` and `train:`, not a {type(raw).__name__}")
    return raw


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set one dotted key in place."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted.strip():
        raise ParamsError(f"--set takes key=value, such as train.lr=0.001 (given {_shorten(override)})")
    try:
        value = parse(text)
    except YamlError as error:
        raise ParamsError(f"--set {dotted}: not a YAML value: {error}") from None
    *sections, key = dotted.strip().split(".")
    node = raw
    for section in sections:
        if node.get(section) is None:
            node[section] = {}
        node = node[section]
        if not isinstance(node, dict):
            raise ParamsError(f"--set {dotted}: {section} is a value, not a section")
    node[key] = value


def _explain(detail: ErrorDetails) -> str:
    """Turn one of pydantic's errors into `key: what is allowed (given …)`."""
    location = [
        part for part in detail["loc"] if isinstance(part, int) or not part.startswith(("function-", "literal"))
    ]
    key = ".".join(str(part) for part in location) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_allowed_keys(location[:-1]))}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key}: {message} (given {_shorten(detail['input'])})"


def _allowed_keys(location: Sequence[str | int]) -> list[str]:
    model: Any = Params  # every section on the way to an unknown key is a settings class
    for part in location:
        field = model.model_fields[str(part)]
        # A head's settings are those of its kind, not of the base class that the field is annotated with.
        model = type(field.default) if isinstance(field.default, BaseModel) else field.annotation
    return sorted(model.model_fields)


def _shorten(value: object) -> str:
    """Write a value as Python does, cut where it is long."""
    text = repr(value)
    return text if len(text) <= GIVEN_CHARACTERS else f"{text[:GIVEN_CHARACTERS]}…"

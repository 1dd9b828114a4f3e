"""Settings of the search, and the space that it searches."""

from typing import Any

from pydantic import Field, ValidationError, model_validator

from stages.core.head.recipe import WITHOUT_EFFECT
from stages.core.head.registry import HEADS
from stages.core.head.settings import TrainSettings
from stages.core.settings import Settings

Scalar = bool | int | float | str
# Settings that change no score, or are the same for every trial.
NOT_SEARCHED = {"head.kind", "train.random_state", *(f"train.{name}" for name in WITHOUT_EFFECT)}


class Range(Settings):
    """Numbers from `low` to `high`, both included; integers if both are written as integers."""

    low: int | float
    high: int | float
    log: bool = False
    """Draw the logarithm uniformly, for ranges over orders of magnitude."""
    step: int | float | None = Field(None, gt=0)
    """Only low, low + step, …; not together with log."""

    @model_validator(mode="after")
    def _ascending(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0, and no step")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range holds integers only."""
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)


Choices = list[Scalar]
Space = dict[str, Range | Choices]


def _default_head_space() -> Space:
    return {"hidden_size": [32, 64, 128, 256], "dropout": Range(low=0.0, high=0.7, step=0.1)}


def _default_train_space() -> Space:
    return {
        "lr": Range(low=0.0001, high=0.01, log=True),
        "batch_size": [32, 64, 128, 256],
        "weight_decay": Range(low=0.001, high=1.0, log=True),
    }


class SearchSpace(Settings):
    """What is searched: any key of `head` and `train`, each a list of values or a range."""

    head: Space = Field(default_factory=_default_head_space)
    """Keys of `head`."""
    train: Space = Field(default_factory=_default_train_space)
    """Keys of `train`."""

    @model_validator(mode="after")
    def _every_end_is_allowed(self) -> "SearchSpace":
        if not self.flat():
            raise ValueError("must name at least one key of head or train")
        for dotted, domain in self.flat().items():
            if dotted in NOT_SEARCHED:
                raise ValueError(f"{dotted} cannot be searched")
            if isinstance(domain, list) and len({repr(value) for value in domain}) < max(len(domain), 1):
                raise ValueError(f"{dotted} must list one or more different values")
            for value in domain if isinstance(domain, list) else (domain.low, domain.high):
                check_value(dotted, value)
        return self

    def flat(self) -> dict[str, Range | Choices]:
        """Name every searched key with its section, `train.lr`, in order."""
        return {f"head.{key}": domain for key, domain in self.head.items()} | {
            f"train.{key}": domain for key, domain in self.train.items()
        }


def check_value(dotted: str, value: Any) -> None:
    """Raise ValueError if no head (or training) has a setting, or if it may not have a value."""
    section, _, key = dotted.partition(".")
    kinds = [kind.settings for kind in HEADS.values()] if section == "head" else [TrainSettings]
    known = [settings for settings in kinds if key in settings.model_fields]
    if not known:
        names = sorted({name for settings in kinds for name in settings.model_fields})
        raise ValueError(f"{dotted} is no setting; {section} has {', '.join(names)}")
    try:
        known[0].model_validate({key: value})
    except ValidationError as error:
        raise ValueError(f"{dotted}: {error.errors()[0]['msg'].removeprefix('Input ')} (given {value!r})") from None


class TuneSettings(Settings):
    """The search (`tune` in params.yaml)."""

    trials: int = Field(50, ge=1, le=100_000)
    """Trainings in all, including those of earlier, interrupted searches of the same space and data."""
    startup_trials: int = Field(10, ge=1, le=10_000)
    """Trials drawn at random before the search learns from the finished ones."""
    pruning_warmup_epochs: int = Field(3, ge=0, le=10_000)
    """Epochs before a trial that is worse than half of the others at that epoch is pruned."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the search."""
    space: SearchSpace = SearchSpace()
    """What is searched."""

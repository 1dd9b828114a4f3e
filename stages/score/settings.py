"""Settings of score: how often each head is trained, and on which divisions."""

from pydantic import Field, field_validator

from stages.core.settings import Settings


class ScoreSettings(Settings):
    """A table of scores (`score` in params.yaml)."""

    seeds: int = Field(5, ge=1, le=1000)
    """Heads per target and fold: their seeds are `train.random_state` and the numbers after it."""
    folds: int = Field(0, ge=0, le=100)
    """Protocol own: cross-validation over whole duplicate groups with this many folds, 3 or more; 0: the project's
    split."""
    resamples: int = Field(1000, ge=100, le=100_000)
    """Resamples of the bootstrap over duplicate groups that gives the scores their 95 % intervals."""

    @field_validator("folds")
    @classmethod
    def _train_val_and_test(cls, folds: int) -> int:
        if folds in (1, 2):
            raise ValueError("must be 0 (the project's split), or 3 and more: one is test, one val, the rest train")
        return folds

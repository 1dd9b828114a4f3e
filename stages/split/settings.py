"""Settings of split: the shares, the seed, and what to stratify over."""

from typing import Literal

from pydantic import Field, field_validator

from stages.settings import Settings


class SplitSettings(Settings):
    """How the images are divided (`split` in params.yaml)."""

    ratios: list[float] = Field([0.6, 0.2, 0.2], min_length=3, max_length=3)
    """Shares of train, val and test; they add up to 1."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the division."""
    source: Literal["own"] = "own"
    """own: divided here."""
    stratify_by: list[str] | None = None
    """Label columns whose class shares are kept alike. Null takes every column, so a new target moves no image."""
    min_class_size: int = Field(5, ge=1)
    """Classes of fewer images than this are not stratified over (a column of titles has nothing to stratify)."""

    @field_validator("ratios")
    @classmethod
    def _shares_of_one(cls, ratios: list[float]) -> list[float]:
        if min(ratios) <= 0 or abs(sum(ratios) - 1) > 1e-6:
            raise ValueError("must be three positive shares (train, val, test) that add up to 1")
        return ratios

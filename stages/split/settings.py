"""Settings of split: the shares, the seed, what to stratify over, and whose split it is."""

from typing import Literal

from pydantic import Field, field_validator

from stages.core.settings import Settings


class SplitSettings(Settings):
    """How the images are divided (`split` in params.yaml)."""

    ratios: list[float] = Field([0.6, 0.2, 0.2], min_length=3, max_length=3)
    """Shares of train, val and test; they add up to 1."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the division."""
    source: Literal["own", "official"] = "own"
    """own: divided here. official: as the source's own lists for one attribute say."""
    official_attribute: str | None = None
    """official: whose lists (the manifest's column split_ATTRIBUTE, or split); null takes the first one."""
    drop_leaks: bool = False
    """official: leave out images of train and val that would make the scores on test too good."""
    method: Literal["stratified", "hash"] = "stratified"
    """stratified: classes keep their shares. hash: every picture by its digest, so adding pictures moves no old one."""
    previous: str | None = None
    """hash: an earlier splits.csv whose images stay where they were, even when a duplicate of them is added."""
    stratify_by: list[str] | None = None
    """Label columns whose class shares are kept alike. Null takes every column, so adding one changes the split; naming
    them freezes it against columns that come later."""
    min_class_size: int = Field(5, ge=3)
    """Classes of fewer distinct pictures than this are too small for all three splits."""
    small_classes: Literal["keep", "drop"] = "keep"
    """Such classes are kept in train, or lose their labels (the images stay, for their other labels)."""

    @field_validator("ratios")
    @classmethod
    def _shares_of_one(cls, ratios: list[float]) -> list[float]:
        if min(ratios) <= 0 or abs(sum(ratios) - 1) > 1e-6:
            raise ValueError("must be three positive shares (train, val, test) that add up to 1")
        return ratios

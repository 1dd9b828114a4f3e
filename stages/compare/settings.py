"""Settings of compare: how often images are drawn again, and the seed of the draws."""

from pydantic import Field

from stages.core.settings import Settings


class CompareSettings(Settings):
    """The tests of `pipeline compare` (`compare` in params.yaml)."""

    resamples: int = Field(2000, ge=100, le=100_000)
    """Resamples of the paired bootstrap over duplicate groups, and swaps of the test of macro F1."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of both."""

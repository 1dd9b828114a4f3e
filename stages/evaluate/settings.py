"""Settings of evaluate: the baselines, the bootstrap, test-time augmentation."""

from pydantic import Field

from stages.core.settings import Settings


class EvaluateSettings(Settings):
    """What the head is compared with, and how (`evaluate` in params.yaml)."""

    logistic_regression_C: list[float] = Field([0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1], min_length=1)
    """Inverse regularisation strengths tried for the logistic regression; the best on val is kept."""
    resamples: int = Field(1000, ge=100, le=100_000)
    """Resamples of the bootstrap that gives the headline scores their intervals; macro F1 has a jackknife."""
    tta_views: int = Field(1, ge=1, le=100)
    """Test-time augmentation: with 2 or more, the test split is also scored by the mean over as many cached views."""

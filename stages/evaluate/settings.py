"""Settings of evaluate: the baselines."""

from pydantic import Field

from stages.settings import Settings


class EvaluateSettings(Settings):
    """What the head is compared with (`evaluate` in params.yaml)."""

    logistic_regression_C: list[float] = Field([0.0001, 0.001, 0.01, 0.1], min_length=1)
    """Inverse regularisation strengths tried for the logistic regression; the best on val is kept."""

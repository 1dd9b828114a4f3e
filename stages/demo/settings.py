"""Settings of the demo collection: how many paintings, which seed, and how many faults are planted among them.

In: the `demo` section of params.yaml. Out: a frozen, validated object.
Kept free of NumPy and Pillow so that the command line starts fast.
"""

from pydantic import Field, model_validator

from stages.core.settings import Settings


class DemoSettings(Settings):
    """The painted collection (`demo` in params.yaml)."""

    images: int = Field(600, ge=8, le=1_000_000)
    """Clean paintings, before duplicates and faults are added."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of everything: the same settings paint the same files."""
    broken: int = Field(12, ge=0, le=100_000)
    """Files that cannot be used; twelve kinds in turn."""
    exact_duplicates: int = Field(10, ge=0, le=100_000)
    """Copies of a painting's bytes under another name."""
    near_duplicates: int = Field(10, ge=0, le=100_000)
    """Paintings that were encoded again, resized, trimmed or given thin bars."""
    wrong_labels: int = Field(15, ge=0, le=100_000)
    """Paintings with another class than their own, per attribute."""
    strangers: int = Field(10, ge=0, le=100_000)
    """Pictures that are no paintings at all."""

    @model_validator(mode="after")
    def _faults_fit(self) -> "DemoSettings":
        faulty = self.exact_duplicates + self.near_duplicates + self.wrong_labels
        if faulty > self.images:
            raise ValueError(
                f"exact_duplicates + near_duplicates + wrong_labels is {faulty}, more than the {self.images} images"
            )
        return self

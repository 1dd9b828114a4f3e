"""Settings of the outlier study."""

from pydantic import Field

from stages.core.settings import Settings


class OutlierSettings(Settings):
    """How outliers are looked for (`outliers` in params.yaml)."""

    folds: int = Field(5, ge=2, le=50)
    """Folds of the cross-validation that gives every image a prediction by a head that has not seen it."""
    neighbours: int = Field(5, ge=1, le=100)
    """Nearest neighbours whose mean distance says how unlike anything an image is; they are named in the table."""
    list_share: float = Field(0.1, gt=0, le=1)
    """Share of the images that each kind of outlier lists at most."""
    trait_min_images: int = Field(20, ge=2)
    """Smallest number of images of a level (a class, an artist, pictures in grey, …) that is compared with others."""
    clusters: int = Field(8, ge=1, le=100)
    """Groups of misclassified images that look alike, at most."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the folds and of the clusters' starting points."""

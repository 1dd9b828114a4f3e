"""Settings of the outliers stage.

In: the `outliers` section of params.yaml. Out: a frozen, checked object; it imports fast.
"""

from pydantic import Field

from stages.core.settings import Settings


class OutlierSettings(Settings):
    """How outliers are found (`outliers` in params.yaml)."""

    folds: int = Field(5, ge=2, le=50)
    """Folds of the cross-validation that gives every image a prediction by a model that has not seen it."""
    neighbours: int = Field(5, ge=1, le=100)
    """Nearest neighbours whose mean distance is the out-of-distribution score; the table names them."""
    list_share: float = Field(0.1, gt=0, le=1)
    """Share of the images that low_confidence and out_of_distribution list: rankings of all images."""
    issue_share: float = Field(0.5, gt=0, le=1)
    """Largest share that suspect_label and conflicting_labels list; the evidence decides how many there are."""
    trait_min_images: int = Field(20, ge=2)
    """Levels (a class, an artist, pictures in grey, …) with fewer images are not compared with the others."""
    clusters: int = Field(8, ge=1, le=100)
    """Largest number of clusters of misclassified images."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the folds and of the clusters' starting points."""

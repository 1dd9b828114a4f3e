"""Settings of the report stage: how many pictures its pages hold, and how large.

In: the `report` section of params.yaml. Out: a frozen, checked object; it imports fast.
"""

from pydantic import Field

from stages.settings import Settings


class ReportSettings(Settings):
    """Pages (`report` in params.yaml)."""

    gallery_size: int = Field(48, ge=1, le=1000)
    """Images shown per kind of outlier, the highest-ranked first."""
    cell_size: int = Field(12, ge=1, le=100)
    """Images that one cell of the confusion matrix opens at most."""
    cells_total: int = Field(600, ge=0, le=5000)
    """Images that all cells of a page open together at most: it bounds the page's size when classes are many."""
    thumbnail_px: int = Field(160, ge=32, le=640)
    """Longest side of a thumbnail; pictures shown only as neighbours get half of it."""

"""Settings of the report stage: how many pictures its pages hold, and how large.

In: the `report` section of params.yaml. Out: a frozen, checked object; it imports fast.
"""

from pathlib import Path

from pydantic import Field

from stages.core.settings import Settings

TEMPLATES = Path(__file__).parent / "templates"


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
    map_thumbnails: int = Field(8000, ge=0, le=100_000)
    """Pictures that the map holds at most: outliers first, then evenly spread."""
    map_thumbnail_px: int = Field(64, ge=16, le=256)
    """Longest side of the map's pictures."""
    map_mib: int = Field(24, ge=1, le=200)
    """Size that the map's page has at most, in MiB; pictures beyond it are left out."""
    map_random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the map's coordinates."""

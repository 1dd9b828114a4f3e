"""Settings of the report stage: how many pictures the pages hold, and their size.

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
    """Largest number of images behind one cell of the confusion matrix."""
    cells_total: int = Field(600, ge=0, le=5000)
    """Largest number of images behind all cells of a page together; it bounds the page's size with many classes."""
    thumbnail_px: int = Field(160, ge=32, le=640)
    """Longest side of a thumbnail; images shown only as neighbours get half of it."""
    map_thumbnails: int = Field(8000, ge=0, le=100_000)
    """Largest number of pictures on the map: outliers first, then an even spread."""
    map_thumbnail_px: int = Field(64, ge=16, le=256)
    """Longest side of the map's pictures."""
    map_mib: int = Field(24, ge=1, le=200)
    """Largest size of the map's page, in MiB; pictures beyond it are left out."""
    map_random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the map's coordinates."""

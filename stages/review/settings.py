"""Settings of the review pages.

In: the `review` section of params.yaml. Out: a frozen, checked object; it imports fast.
"""

from pydantic import Field

from stages.core.settings import Settings


class ReviewSettings(Settings):
    """Pages on which a person decides about suspects (`review` in params.yaml)."""

    page_size: int = Field(24, ge=1, le=500)
    """Images shown at once."""
    thumbnail_px: int = Field(320, ge=32, le=1280)
    """Longest side of a picture on the page; neighbours get half of it."""
    large_px: int = Field(1280, ge=320, le=8192)
    """Longest side of a picture that is opened."""

"""Settings of clean: what is too small, too large, or the same picture."""

from pydantic import Field

from stages.settings import Settings


class CleanSettings(Settings):
    """What counts as a usable image (`clean` in params.yaml)."""

    min_side_px: int = Field(32, ge=1, le=10_000)
    """Images with a shorter side than this are rejected as too_small."""
    max_pixels: int = Field(100_000_000, ge=1_000, le=178_956_970)
    """Images of more pixels than this are rejected as too_large before they are decoded; at most Pillow's own limit."""
    near_duplicate_bits: int = Field(6, ge=0, le=16)
    """Perceptual hashes (64 bits) that differ in at most this many bits are one picture. 0: equal hashes only."""

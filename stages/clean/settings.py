"""Settings of clean: what is too small, too large, too slow, or the same picture."""

from typing import Literal

from pydantic import Field

from stages.core.settings import Settings


class CleanSettings(Settings):
    """What counts as a usable image (`clean` in params.yaml)."""

    min_side_px: int = Field(32, ge=1, le=10_000)
    """Images with a shorter side than this are rejected as too_small."""
    max_pixels: int = Field(100_000_000, ge=1_000, le=2**31 - 1)
    """Images of more pixels than this are rejected as too_large before they are decoded. JPEGs and TIFFs of more than
    100 million are decoded at a reduced scale, in the same memory."""
    timeout_s: float = Field(60.0, gt=0, le=86_400)
    """A file whose decoding takes longer is rejected as decoder_timeout."""
    allow_missing: bool = False
    """Keep rows whose file is missing, without digest and size: to study the lists of a collection alone."""
    missing_groups: Literal["file_name", "path"] = "file_name"
    """Which rows without a file are called duplicates. file_name: rows whose files have the same name in any folder,
    such as an artwork that WikiArt lists under two styles. path: none."""
    near_duplicate_bits: int = Field(10, ge=0, le=11)
    """Perceptual hashes (64 bits) that differ in at most this many bits may be one picture; they always differ in an
    even number."""
    confirm_bits: int = Field(56, ge=0, le=96)
    """They are one picture if their finer hashes (256 bits) differ in at most this many. Unrelated pictures differ in
    128 on average."""

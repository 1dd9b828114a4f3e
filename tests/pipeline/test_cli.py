"""What goes wrong is one line that names the next command."""

from pathlib import Path

import pytest

from cache import CacheError, DamagedFileError, MissingRowsError
from pipeline.cli import _one_line


@pytest.mark.parametrize(
    "error",
    [
        DamagedFileError(Path("features.h5"), "row 3 does not match its checksum"),
        MissingRowsError("there is no feature cache at features.h5; compute and publish its rows"),
    ],
)
def test_rows_that_can_be_computed_again_come_with_the_command(error):
    assert _one_line(error) == f"{error}: run `pipeline extract-features`"


def test_another_error_of_the_cache_is_shown_as_it_is():
    assert _one_line(CacheError("the disk is full: make room\nand try again")) == (
        "the disk is full: make room and try again"
    )

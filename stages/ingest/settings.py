"""Settings of ingest: where the images and their labels come from."""

from typing import Literal

from pydantic import Field

from stages.ingest.demo.settings import DemoSettings
from stages.settings import Settings


class DatasetSettings(Settings):
    """The collection (`dataset` in params.yaml)."""

    source: Literal["demo", "folder", "csv"] = "demo"
    """demo: painted here. folder: one sub-folder per class. csv: a table with a path column and label columns."""
    images: str = Field("data/demo/images", min_length=1)
    """The folder that holds the image files."""
    labels: str | None = None
    """csv: the table with the labels."""
    watch: str = Field("stages/ingest/demo", min_length=1)
    """What makes `dvc repro` run ingest again when it changes: set it to `labels` (csv) or `images` (folder)."""
    image_column: str = Field("image", min_length=1)
    """csv: the column that holds each image's path, relative to `images`."""
    columns: dict[str, str] | None = None
    """csv: attribute to column name (`{style: "Art Style"}`). Null takes every column but the image's."""
    folder_attribute: str = Field("style", min_length=1)
    """folder: the attribute that the sub-folders' names are the classes of."""
    demo: DemoSettings = DemoSettings()
    """demo: size, seed and planted faults of the painted collection."""

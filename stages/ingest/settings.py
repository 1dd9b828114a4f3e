"""Settings of ingest: where the images and their labels come from."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from stages.core.settings import Settings
from stages.ingest.label_sources import SOURCES

if TYPE_CHECKING:
    SourceName = str
else:
    SourceName = Literal[tuple(SOURCES)]


# What WikiArt, pandas, Python, databases, R and Excel write where a label is not known.
NO_LABEL = (
    *("Unknown Artist", "Unknown Genre", "Unknown Style"),
    *("nan", "None", "NULL", "nil", "NA", "N/A", "n.a.", "#N/A", "<NA>", "NaT"),
    *("#REF!", "#VALUE!", "#NAME?", "#DIV/0!"),
    *("-", "--", "\u2013", "\u2014", "?"),
)


class DatasetSettings(Settings):
    """The collection (`dataset` in params.yaml)."""

    source: SourceName = "csv"
    """artgan: the ArtGAN lists of WikiArt. huggingface: parquet files with the images inside.
    folder: one sub-folder per class. csv, parquet: a table with a path column and label columns."""
    images: str = Field("data/demo/images", min_length=1)
    """The folder that holds the image files; huggingface: that they are extracted to."""
    labels: str | None = "data/demo/labels.csv"
    """csv, parquet: the table with the labels. artgan: the folder of the lists. huggingface: of the parquet files."""
    allow_missing: bool = False
    """Take labels although their images are not there."""
    watch: str = Field("data/demo/labels.csv", min_length=1)
    """What makes `dvc repro` run ingest again when it changes: set it to `images` (folder) or `labels`."""
    image_column: str = Field("image", min_length=1)
    """csv, parquet: the column that holds each image's path, relative to `images`."""
    columns: dict[str, str] | None = None
    """csv, parquet: attribute to column name (`{style: "Art Style"}`). Null takes every column but the image's."""
    class_files: dict[str, str] = Field(default_factory=dict)
    """csv, parquet: attribute to the file that names its classes, where the labels are indices."""
    encoding: str | None = None
    """csv, parquet: the encoding of a table of text and of class files, such as `cp1252`. Null detects it."""
    folder_attribute: str = Field("style", min_length=1)
    """folder: the attribute that the sub-folders' names are the classes of."""
    timeout_s: float = Field(60.0, gt=0)
    """Longest time for a look at one file under `images`, in seconds: then its disk counts as gone."""
    no_label: list[str] = Field(list(NO_LABEL))
    """Texts that are no classes (case-insensitive), such as `Unknown` or `N/A`: images labelled so are unlabelled."""
    map: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Attribute to `{label in the source: label in the manifest}`: joins spellings, renames, or (to "") empties."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            try:
                "image".encode(encoding)
            except (LookupError, UnicodeError, ValueError):
                raise ValueError(
                    f"{encoding!r} is no encoding of text: utf-8, cp1252 or shift_jis, for example"
                ) from None
        return encoding

"""The registry of label sources: what `dataset.source` can be.

In: a source's name. Out: its entry, and the function that reads its labels. To add a source, write its module in
`sources/` and its entry here. Readers are named, not imported, so that reading the settings stays quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from stages.ingest.label_cells import SourceLabels


@dataclass(frozen=True)
class LabelSource:
    """One kind of label source.

    Attributes
    ----------
    title
        Its name in messages.
    explanation
        What it consists of.
    reader
        `module:function`. The function takes the `Problems` to note, and by keyword the settings that it needs.
    needs
        The keys of `dataset` that the reader needs.
    lists_files
        Whether names come from lists, so that they are matched with the files on disk.
    writes_images
        Whether the source holds the images, and the reader writes them to `dataset.images`.
    """

    title: str
    explanation: str
    reader: str
    needs: tuple[str, ...]
    lists_files: bool = False
    writes_images: bool = False

    def load_reader(self) -> Callable[..., SourceLabels]:
        """Import the function that reads the labels."""
        module, _, function = self.reader.partition(":")
        return cast("Callable[..., SourceLabels]", getattr(importlib.import_module(module), function))


TABLE = LabelSource(
    title="a label table",
    explanation="a table with a column of image paths and label columns",
    reader="stages.ingest.sources.label_table:read_label_table",
    needs=("labels", "image_column", "columns", "class_files", "encoding"),
    lists_files=True,
)
SOURCES: dict[str, LabelSource] = {
    "artgan": LabelSource(
        title="the ArtGAN lists",
        explanation="the folder of the nine lists of styles, genres and artists of WikiArt",
        reader="stages.ingest.sources.artgan:read_artgan",
        needs=("labels",),
        lists_files=True,
    ),
    "huggingface": LabelSource(
        title="a Hugging Face data set",
        explanation="the folder of parquet files with the images inside",
        reader="stages.ingest.sources.huggingface:read_huggingface",
        needs=("labels", "images", "columns"),
        writes_images=True,
    ),
    "folder": LabelSource(
        title="a folder per class",
        explanation="sub-folders of the image root, whose names are the classes",
        reader="stages.ingest.sources.folder:read_folders",
        needs=("images", "folder_attribute", "timeout_s"),
    ),
    "csv": TABLE,
    "parquet": TABLE,
}

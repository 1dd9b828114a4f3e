"""One sub-folder per class: the sub-folders' names are the labels.

In: the image root. Out: label cells. Files in sub-folders of a class's folder belong to the class too.
"""

from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.images.formats import IMAGE_SUFFIXES
from stages.core.tables.problems import Problems
from stages.ingest.image_files import files_under
from stages.ingest.label_cells import SourceLabels, check_attribute, make_cells


def read_folders(problems: Problems, *, images: str, folder_attribute: str) -> SourceLabels:
    """List the image files of every class's folder.

    Parameters
    ----------
    problems
        Where files that belong to no class, or are no images, are noted.
    images
        The image root, which holds the folders.
    folder_attribute
        The label column that the folders' names are the classes of.

    Raises
    ------
    StageError
        If there is no image file.
    """
    check_attribute(folder_attribute, "dataset.folder_attribute")
    files = files_under(Path(images))
    for problem, name in [
        *files.problems,
        *(("link leads out of dataset.images", n) for n in sorted(files.leading_out)),
    ]:
        problems.add(images, 0, problem, name)
    names = []
    for name in files.names:
        if "/" not in name:
            problems.add(images, 0, "file lies in no class's folder", name)
        elif Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            problems.add(images, 0, "file has no image's ending", name)
        else:
            names.append(name)
    if not names:
        raise StageError(
            f"{images} has no sub-folders with image files: `folder` takes the sub-folders' names as classes"
        )
    listed = pd.Series(names)
    labels = listed.map(lambda name: name.split("/", 1)[0])
    cells = make_cells(listed, {folder_attribute: labels}, images, pd.Series(0, index=listed.index))
    return SourceLabels(cells, [folder_attribute])

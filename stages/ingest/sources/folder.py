"""One sub-folder per class: the sub-folders' names are the labels.

In: the image root. Out: label cells. Files in sub-folders of a class's folder belong to the class too. Folders of the
source's split, above the classes or below each, are its split and no classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.patience import PATIENCE_S
from stages.core.tables.problems import Problems
from stages.ingest.image_files import files_under, has_image_suffix, is_system
from stages.ingest.label_cells import SourceLabels, check_attribute, make_cells
from stages.ingest.split_names import clean_split, split_of_folders


def read_folders(
    problems: Problems, *, images: str, folder_attribute: str, timeout_s: float = PATIENCE_S
) -> SourceLabels:
    """List the image files of every class's folder.

    Parameters
    ----------
    problems
        Where files that belong to no class, or are no images, are noted.
    images
        The image root, which holds the folders.
    folder_attribute
        The label column that the folders' names are the classes of.
    timeout_s
        Longest time for a look at one file, in seconds.

    Returns
    -------
    SourceLabels
        With the column `split` too, if the folders are divided so.

    Raises
    ------
    StageError
        If the disk does not answer, there is no image file, or the folders of a split hold no folders of classes.
    """
    check_attribute(folder_attribute, "dataset.folder_attribute")
    names = _list_images(Path(images), problems, timeout_s)
    if not names:
        raise StageError(
            f"{images} has no sub-folders with image files: `folder` takes the sub-folders' names as classes"
        )
    found = _split_above(names, images, problems) or _split_below(names)
    if found is None:
        _note_folders_like_splits(names, images, problems)
        found = {name: (name.split("/", 1)[0], "") for name in names}
    listed = pd.Series(list(found))
    values = {folder_attribute: pd.Series([label for label, _ in found.values()])}
    if any(split for _, split in found.values()):
        values["split"] = pd.Series([split for _, split in found.values()])
    return SourceLabels(make_cells(listed, values, images, pd.Series(0, index=listed.index)), list(values))


def _list_images(root: Path, problems: Problems, timeout_s: float) -> list[str]:
    """The names of images in folders; what else lies there is noted."""
    files = files_under(root, timeout_s)
    for problem, name in files.problems:
        problems.add(root, 0, problem, name)
    for name in sorted(files.leading_out):
        problems.add(root, 0, "link leads out of dataset.images", name)
    names, system = [], set()
    for on_disk, name in files.names.items():
        if is_system(on_disk):
            system.add(next(part for part in name.split("/") if is_system(part)))
        elif "/" not in name:
            problems.add(root, 0, "file lies in no class's folder", name)
        elif not has_image_suffix(name):
            problems.add(root, 0, "file has no image's ending", name)
        else:
            names.append(name)
    for name in sorted(system):
        problems.add(root, 0, "hidden or system folder or file is left out", name)
    return names


def _split_above(names: Sequence[str], images: str, problems: Problems) -> Mapping[str, tuple[str, str]] | None:
    """Class and split by name, if every folder of the root is a split's: `train/Cubism/a.jpg`.

    Raises
    ------
    StageError
        If none of them holds folders of classes.
    """
    parts = split_of_folders([name.split("/", 1)[0] for name in names])
    if parts is None or (len(parts) == 1 and not any(name.count("/") > 1 for name in names)):
        return None
    found = {}
    for name in names:
        if name.count("/") > 1:
            part, label, _ = name.split("/", 2)
            found[name] = (label, parts[part])
        else:
            problems.add(images, 0, "file lies in no class's folder", name)
    if not found:
        raise StageError(
            f"the sub-folders of {images} are called as a split's parts ({', '.join(parts)}) and hold no folders of "
            "classes: put a folder per class into each, or list the images in a table (dataset.source: csv)"
        )
    return found


def _split_below(names: Sequence[str]) -> Mapping[str, tuple[str, str]] | None:
    """Class and split by name, if every class's folder is divided: `Cubism/train/a.jpg`."""
    divided = [name.split("/") for name in names]
    if not all(len(parts) > 2 for parts in divided):
        return None
    parts = split_of_folders([second for _, second, *_ in divided])
    if parts is None or len(set(parts.values())) < 2:
        return None
    return {name: (label, parts[second]) for name, (label, second, *_) in zip(names, divided, strict=True)}


def _note_folders_like_splits(names: Sequence[str], images: str, problems: Problems) -> None:
    """Note classes that are called as a split's parts are, among others that are not."""
    for folder in dict.fromkeys(name.split("/", 1)[0] for name in names):
        if clean_split(folder):
            problems.add(images, 0, "class is called as a part of a split", folder)

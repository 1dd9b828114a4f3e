"""The columns of a Hugging Face data set, as its parquet schema describes them, in the present and older spellings.

In: a schema with the metadata key `huggingface`. Out: the image column, and the label columns with their classes'
names. Reading the rows is left to `sources.huggingface`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.errors import StageError
from stages.core.tables.columns import is_source_split
from stages.core.tables.problems import Problems
from stages.ingest.label_cells import attribute_problem, check_attribute

# Kinds of a feature that are not labels but may stand next to them.
TEXT_TYPES = ("string", "large_string", "bool", "int", "uint")


class HubColumns(NamedTuple):
    """What a data set's files hold.

    Attributes
    ----------
    image
        The column with the images.
    labels
        Attribute to column.
    classes
        Attribute to its classes' names, where cells are indices; attributes without hold texts.
    """

    image: str
    labels: dict[str, str]
    classes: dict[str, list[str]]


def read_hub_columns(schema: Any, path: Path, columns: Mapping[str, str] | None, problems: Problems) -> HubColumns:
    """Find the image column and the label columns.

    Parameters
    ----------
    schema
        Of a parquet file, as pyarrow reads it.
    path
        The file, for messages.
    columns
        Attribute to column; None takes every class-label column, or, if there is none, every column of texts.
    problems
        Where columns that cannot be label columns are noted.

    Raises
    ------
    StageError
        If there is no image column, no label column, or a column that was asked for is missing.
    """
    features = _features(schema)
    image = _image_column(features, schema)
    names = {column: found for column, feature in features.items() if (found := _class_names(feature)) is not None}
    if columns is None:
        labels = _usable(list(names) or _texts(features, schema, image), path, problems)
    else:
        labels = dict(columns)
        for attribute, column in labels.items():
            if column not in schema.names:
                raise StageError(f"{path} has no column {column!r}; it has: {', '.join(schema.names)}")
            check_attribute(attribute, path)
    if image is None or not labels:
        raise StageError(
            f"{path} describes no image column or no class labels in its schema: it is not as the hub ships data sets "
            "(for a plain table of paths and labels set dataset.source to parquet)"
        )
    return HubColumns(image, labels, {attribute: names[c] for attribute, c in labels.items() if c in names})


def _features(schema: Any) -> dict[str, Any]:
    """The description in the schema's metadata; none where it is damaged or of another form."""
    try:
        metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        info = metadata.get("info", metadata.get("dataset_info", {}))
        features = info.get("features", {}) if isinstance(info, dict) else {}
    except (ValueError, AttributeError, RecursionError):
        return {}
    if isinstance(features, list):  # as a data set's card lists them
        features = {str(one.get("name")): one.get("dtype", one) for one in features if isinstance(one, dict)}
    return {name: feature for name, feature in features.items() if name in schema.names} if features else {}


def _image_column(features: Mapping[str, Any], schema: Any) -> str | None:
    """The first image feature; in files without a description, the first record of bytes and path."""
    for name, feature in features.items():
        if feature == "image" or (isinstance(feature, dict) and feature.get("_type") == "Image"):
            return name
    return next((field.name for field in schema if str(field.type).startswith("struct<bytes: ")), None)


def _class_names(feature: Any) -> list[str] | None:
    """The names of a class label's classes, of a list of class labels too; None for other features."""
    if isinstance(feature, list) and len(feature) == 1:
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return None
    if isinstance(feature.get("class_label"), dict):
        feature = feature["class_label"] | {"_type": "ClassLabel"}
    if feature.get("_type") in ("Sequence", "List", "LargeList"):
        return _class_names(feature.get("feature"))
    names = feature.get("names")
    if feature.get("_type") != "ClassLabel" and not (names and "num_classes" in feature):
        return None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=lambda key: int(key) if str(key).isdecimal() else 0)]
    return [str(name) for name in names] if isinstance(names, list) else []


def _texts(features: Mapping[str, Any], schema: Any, image: str | None) -> list[str]:
    """Columns of texts or whole numbers, or lists of them, where a data set has no class labels at all."""
    kinds = {field.name: str(field.type).removeprefix("list<element: ").removeprefix("list<item: ") for field in schema}
    described = [name for name, feature in features.items() if isinstance(feature, dict | list) and name != image]
    return [name for name in described if kinds[name].startswith(TEXT_TYPES)]


def _usable(names: list[str], path: Path, problems: Problems) -> dict[str, str]:
    labels = {}
    for name in names:
        if problem := "" if is_source_split(name) else attribute_problem(name):
            problems.add(path, 0, "column is left out", problem)
        else:
            labels[name] = name
    return labels

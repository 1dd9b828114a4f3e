"""Provenance: the settings, digests and library versions behind a page, as titled lists of names and values.

In: what the pages were made from. Out: lists for the templates.
"""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stages.report.inputs import CollectionTables, TargetResults
from stages.report.settings import ReportSettings

PACKAGES = (
    "torch",
    "torchvision",
    "h5py",
    "numpy",
    "pillow",
    "pandas",
    "scikit-learn",
    "dvc",
    "vl-convert-python",
    "pacmap",
)

Facts = list[tuple[str, list[tuple[str, str]]]]


def describe_collection(collection: CollectionTables, settings: ReportSettings) -> Facts:
    """Describe what all pages depend on, as titled lists of names and values."""
    return [
        ("Backbone", list(flatten(collection.backbone))),
        ("Features", list(flatten(collection.features))),
        ("Report settings", list(flatten(settings.model_dump()))),
        ("Libraries that wrote this page", list_versions()),
    ]


def describe_target(found: TargetResults, features: dict[str, Any], settings: ReportSettings) -> Facts:
    """Describe what one target's page depends on, as titled lists of names and values."""
    head = {name: value for name, value in found.head.items() if name not in ("classes", "settings")}
    if found.training_s is not None:
        head["training took"] = f"{found.training_s:.1f} s"
    description = features.get("description", {})
    shape = {name: features[name] for name in features if name != "description"}
    return [
        ("Head", list(flatten(head))),
        ("Settings", list(flatten(found.head.get("settings", {}) | {"report": settings.model_dump()}))),
        ("Features", list(flatten(shape | {"made by": description}))),
        ("SHA-256 of the files behind this page", list(found.digests.items())),
        ("Libraries that wrote this page", list_versions()),
    ]


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name every value of nested mappings by its dotted key, as `--set` does.

    >>> list(flatten({"train": {"lr": 0.1}, "random_state": 0}))
    [('train.lr', '0.1'), ('random_state', '0')]
    """
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "\N{EN DASH}" if value is None else str(value)


def list_versions() -> list[tuple[str, str]]:
    """List the versions of Python and of the libraries that affect the numbers."""
    return [("python", platform.python_version())] + [(name, _version(name)) for name in PACKAGES]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

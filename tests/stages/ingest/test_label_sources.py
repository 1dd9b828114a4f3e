"""Every label source is one entry of a registry, and settings, reading and messages follow it."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from stages.core.errors import StageError
from stages.ingest import sources
from stages.ingest.ingest_labels import ingest_labels
from stages.ingest.label_sources import SOURCES
from stages.ingest.settings import DatasetSettings


def ingest(folder: Path, **settings: object) -> str:
    paths = {name: folder / f"{name}.csv" for name in ("manifest", "problems")}
    return ingest_labels(settings=DatasetSettings(images=str(folder), **settings), **paths)


@pytest.mark.parametrize("name", SOURCES)
def test_a_reader_takes_the_settings_that_its_entry_names(name: str) -> None:
    source = SOURCES[name]
    parameters = inspect.signature(source.load_reader()).parameters
    assert list(parameters) == ["problems", *parameters.keys() - {"problems"}] or len(parameters) == 1 + len(
        source.needs
    )
    assert set(parameters) - {"problems"} == set(source.needs)
    assert set(source.needs) <= set(DatasetSettings.model_fields)


def test_every_module_of_sources_has_an_entry() -> None:
    modules = {f"stages.ingest.sources.{module.name}" for module in pkgutil.iter_modules(sources.__path__)}
    assert modules == {source.reader.partition(":")[0] for source in SOURCES.values()}
    for module in modules:
        assert importlib.import_module(module).__doc__


def test_dataset_source_is_a_name_of_the_registry() -> None:
    assert get_args(DatasetSettings.model_fields["source"].annotation) == tuple(SOURCES)
    with pytest.raises(ValidationError, match="'artgan', 'huggingface', 'folder', 'csv' or 'parquet'"):
        DatasetSettings(source="xml")


def test_reading_the_settings_imports_no_reader_and_no_table_library() -> None:
    code = "import sys, stages.ingest.settings; print(sorted({'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if "labels" in source.needs])
def test_a_source_without_its_labels_is_refused_with_what_to_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        StageError, match=rf"dataset\.source is {name} \(.*\), but dataset\.labels names no file or folder: set"
    ):
        ingest(tmp_path, source=name, labels=None)


def test_the_demo_that_was_not_painted_is_answered_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match="paint the demo collection with `pipeline paint-demo` first"):
        ingest(tmp_path, source="csv")

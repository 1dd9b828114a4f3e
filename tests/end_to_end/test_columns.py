"""The tables that a whole run writes have the columns that their contracts name."""

import csv
from pathlib import Path

import pytest

from stages.core.tables.columns import CHANGES, REVIEW, TABLES, TableContract, is_source_split, label_columns
from tests.end_to_end.conftest import command, edit_params


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


# `dvc repro` compares nothing: tests/stages/compare reads that table.
@pytest.mark.parametrize(
    "contract", [found for found in TABLES if found is not CHANGES], ids=lambda contract: contract.path
)
def test_a_table_has_the_columns_of_its_contract(built: Path, contract: TableContract) -> None:
    found = header(built / contract.path.replace("TARGET", "style"))
    if contract.has_labels:
        labels = ["style", "genre", "artist"]
        assert label_columns(found) == labels
        assert [name for name in found if name not in labels] == contract.names
    elif contract.path.endswith("/confusion.csv"):
        assert found[:1] == contract.names
    else:
        assert found == [*contract.names, *contract.optional]


def test_review_keeps_its_decisions_in_the_columns_of_the_contract(built: Path) -> None:
    assert header(built / REVIEW.path) == REVIEW.names


def test_only_tables_of_images_have_label_columns() -> None:
    for contract in TABLES:
        assert [name for name in contract.names if is_source_split(name)] in ([], ["split"])


def test_dvc_refuses_a_target_that_is_no_label_column_before_it_computes_anything(project: Path) -> None:
    edit_params(project, {"targets": ["style", "genres"], "dataset.folder_attribute": "period"})
    done = command("dvc", "repro", cwd=project, check=False)
    assert done.returncode != 0
    message = (
        "targets: data/demo/labels.csv has no label column 'genres'; it has: style, genre, artist (nearest: genre)"
    )
    assert message in done.stderr
    assert "Running stage 'clean'" not in done.stdout

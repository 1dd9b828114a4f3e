"""One place says which columns a table has, which command writes it, and what a label column is."""

from pathlib import Path

import pandas as pd
import pytest

from stages.core.errors import StageError
from stages.core.records.outputs import adopt
from stages.core.tables import columns
from stages.core.tables.csv_files import read_table, write_table


def test_label_columns_are_those_that_no_stage_writes() -> None:
    table = pd.DataFrame(columns=["image", "style", "split_style", "year", *columns.FILE, "split", "split_source"])
    assert columns.label_columns(table) == columns.label_columns(table.columns) == ["style", "year"]


@pytest.mark.parametrize("name", [*columns.FILE, "image", "split", "split_style"])
def test_a_column_of_a_stage_is_no_target(name: str) -> None:
    with pytest.raises(StageError, match=f"no label column '{name}'; it has: style"):
        columns.require_label_column(name, ["image", "style", *columns.FILE, "split", "split_style"], "splits.csv")


def test_a_target_that_is_no_column_is_answered_with_the_nearest() -> None:
    present = ["image", "style", "Period"]
    assert columns.missing_label_columns(["style", "Period"], present, "x.csv") == ""
    assert columns.missing_label_columns(["period"], present, "x.csv").endswith("(nearest: Period)")
    assert columns.missing_label_columns(["genre", "styles"], present, "x.csv") == (
        "x.csv has no label column 'genre', 'styles'; it has: style, Period (nearest: style)"
    )
    assert columns.missing_label_columns(["style"], ["image"], "x.csv").endswith("it has: none")


def test_paths_are_unique_and_every_table_names_its_command() -> None:
    assert len({table.path for table in columns.TABLES}) == len(columns.TABLES)
    for table in columns.TABLES:
        assert table.producer.command.startswith("pipeline ")
        assert ("TARGET" in table.producer.command) == (
            table.path.startswith("reports/TARGET") or table is columns.REVIEW
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: run `pipeline evaluate --target style` first"),
        (b"", "is not a readable CSV table"),
        (b"image\n\xff", "is not a readable CSV table"),
        (b"image,y_true\na.png,x\n", "has no column 'sha256' .it has image, y_true.: run `pipeline evaluate"),
    ],
    ids=["missing", "empty", "no UTF-8", "a column short"],
)
def test_a_table_that_cannot_be_read_is_answered_with_the_command_that_writes_it(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "predictions.csv").write_bytes(content)
        adopt(tmp_path / "predictions.csv", columns.PREDICTIONS, "style")
    with pytest.raises(StageError, match=message):
        read_table(tmp_path / "predictions.csv", columns.PREDICTIONS, target="style")


def test_a_table_without_rows_is_refused_only_where_every_stage_needs_some(tmp_path: Path) -> None:
    for table in columns.TABLES:
        path = tmp_path / table.path
        write_table(pd.DataFrame(columns=table.names), path)
        adopt(path, table)
        if table.may_be_empty:
            assert read_table(path, table).empty
        else:
            with pytest.raises(StageError, match="lists no images"):
                read_table(path, table)


def test_a_class_called_na_stays_a_class(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"image": ["a.png", "b.png"], "style": ["NA", ""]}), tmp_path / "manifest.csv")
    adopt(tmp_path / "manifest.csv", columns.MANIFEST)
    assert read_table(tmp_path / "manifest.csv", columns.MANIFEST)["style"].tolist() == ["NA", ""]

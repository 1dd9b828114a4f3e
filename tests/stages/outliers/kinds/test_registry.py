"""The registry lists every kind once, and the pages learn its texts from a table."""

import pkgutil
from collections.abc import Callable

import pandas as pd

from stages.outliers import kinds
from stages.outliers.find_outliers import kind_table, list_outliers
from stages.outliers.kinds import KINDS
from stages.outliers.outlier_kind import Evidence, OutlierKind, ranked_table


def test_every_module_of_kinds_is_listed_under_its_own_name() -> None:
    modules = [module.name for module in pkgutil.iter_modules(kinds.__path__)]
    assert sorted(kind.name for kind in KINDS) == sorted(modules)


def test_every_kind_has_texts_and_a_place_of_its_own() -> None:
    assert all(kind.title and kind.explanation for kind in KINDS)
    assert len({kind.page_order for kind in KINDS}) == len(KINDS)


def test_the_table_of_kinds_is_in_the_order_of_the_pages() -> None:
    table = kind_table(KINDS)
    assert table.columns.tolist() == ["kind", "title", "explanation"]
    in_order = sorted(KINDS, key=lambda kind: kind.page_order)
    assert table["kind"].tolist() == [kind.name for kind in in_order]
    assert table["title"].tolist() == [kind.title for kind in in_order]
    assert table["kind"][0] == "suspect_label"  # what a person looks at first


def test_each_kind_lists_its_first_images_ranked_from_one(make_evidence: Callable[..., Evidence]) -> None:
    def find(evidence: Evidence) -> pd.DataFrame:
        rows = evidence.data.table.index.to_numpy()
        return ranked_table(rows, rows / 10, ["because"] * len(rows))

    made_up = [OutlierKind(name, name, "", place, find) for place, name in enumerate(("first", "second"))]
    listed = list_outliers(made_up, make_evidence(["a"] * 4), most=2)
    assert listed["kind"].tolist() == ["first", "first", "second", "second"]
    assert listed["rank"].tolist() == [1, 2, 1, 2]
    assert listed["row"].tolist() == [3, 2, 3, 2]

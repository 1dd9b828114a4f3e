"""The registry lists every kind once, and the pages learn its texts from a table."""

import pkgutil
from collections.abc import Callable

import pandas as pd

from stages.outliers import kinds
from stages.outliers.find_outliers import kind_table, list_outliers
from stages.outliers.kinds import KINDS
from stages.outliers.outlier_kind import Evidence, OutlierKind, ranked_table
from stages.outliers.settings import OutlierSettings


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


def test_a_ranking_lists_its_first_images_and_a_count_all_that_it_counts(
    make_evidence: Callable[..., Evidence],
) -> None:
    def find(evidence: Evidence) -> pd.DataFrame:
        rows = evidence.data.table.index.to_numpy()[:6]
        return ranked_table(rows, rows / 10, ["because"] * len(rows))

    made_up = [
        OutlierKind(name, name, "", place, find, counts=counts)
        for place, (name, counts) in enumerate((("ranked", False), ("counted", True), ("counted, too many", True)))
    ]
    evidence = make_evidence(["a"] * 10)
    listed = list_outliers(made_up[:2], evidence, OutlierSettings(list_share=0.2, issue_share=0.9))
    assert listed["kind"].tolist() == ["ranked"] * 2 + ["counted"] * 6
    assert listed["rank"].tolist() == [1, 2, 1, 2, 3, 4, 5, 6]
    assert listed["row"].tolist() == [5, 4, 5, 4, 3, 2, 1, 0]
    assert len(list_outliers(made_up[2:], evidence, OutlierSettings(issue_share=0.4))) == 4

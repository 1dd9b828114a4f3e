"""The published cache as a link of the chain: damaged rows are found when first read, or on opening if set so."""

from collections.abc import Callable

import pytest

from cache import DamagedFileError, FeatureCache
from stages.core.errors import StageError
from stages.core.features.artefact import FEATURES, open_features
from stages.core.features.labelled import load_labelled_features
from stages.core.records import producers
from stages.core.records.outputs import adopt, write_outputs
from stages.core.tables.columns import SPLIT_IMAGES


def test_a_damaged_row_is_refused_when_read_and_before_anything_is_read_if_set_so(make_project: Callable) -> None:
    project = make_project(["dabs", "dots"] * 6)
    path = project.features / "features.h5"
    with FeatureCache(path) as cache:
        offset = cache.features.offset
    content = bytearray(path.read_bytes())
    content[offset + 5] ^= 1
    path.write_bytes(content)
    data = load_labelled_features("style", features=project.features, splits=project.splits)
    with pytest.raises(DamagedFileError, match=r"row 0 .*\.jpg"):
        data.pooled()
    home = project.features.parent
    with write_outputs(
        producers.EXTRACT, home, settings={"check": "opening"}, inputs={}, artefacts=[FEATURES]
    ) as outputs:
        outputs.path(path).write_bytes(content)
    with pytest.raises(DamagedFileError, match="row 0"):
        open_features(project.features)


def test_the_features_of_another_run_are_refused(make_project: Callable) -> None:
    project, other = make_project(["dabs", "dots"] * 6), make_project(["dabs", "dots"] * 6, seed=1, folder="other")
    (project.features / "features.h5").write_bytes((other.features / "features.h5").read_bytes())
    with pytest.raises(StageError, match=r"features\.h5 is not what `pipeline extract-features` wrote"):
        load_labelled_features("style", features=project.features, splits=project.splits)


def test_a_table_that_is_replaced_while_it_is_used_is_not_recorded_as_read(make_project: Callable) -> None:
    project = make_project(["dabs", "dots"] * 6)
    data = load_labelled_features("style", features=project.features, splits=project.splits)
    project.table.replace("dots", "glaze").to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    again = load_labelled_features("style", features=project.features, splits=project.splits)
    changed = [name for name in data.inputs if data.inputs[name] != again.inputs[name]]
    assert changed == ["data/splits.csv[image,sha256,group,split,style]"]

"""The presets exist in timm with weights on the hub, and the documents' table of them is what their networks are."""

import pytest

from stages.core.networks.presets import PRESETS
from stages.core.networks.registry import LIBRARIES, find_library
from tests.conftest import REPOSITORY

timm = pytest.importorskip("timm")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_a_tag_of_timm_with_weights_on_the_hub(preset: str) -> None:
    architecture, _, tag = PRESETS[preset].partition(".")
    config = timm.models.get_arch_pretrained_cfgs(architecture)[PRESETS[preset]]
    assert (config.tag, config.hf_hub_id.partition("/")[0]) == (tag, "timm")
    assert find_library(preset) is LIBRARIES["preset"]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_kept_table_of_presets_is_what_their_networks_are(preset: str) -> None:
    from benchmarks.presets import row

    assert row(preset) in (REPOSITORY / "benchmarks" / "presets.txt").read_text().splitlines()

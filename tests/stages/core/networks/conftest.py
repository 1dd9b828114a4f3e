"""Small pictures to prepare backbones on, as the tests of the backbone stage have them."""

from tests.stages.backbone.conftest import make_collection

__all__ = ["make_collection"]

"""What each preset of `backbone.arch` is: its name in timm, its input, its tokens, and the size of its weights.

In: nothing; networks are built without values, and nothing is downloaded. Out: a table. The pooled vector and the
tokens are those that the feature cache holds.

    python benchmarks/presets.py
"""

import torch

from stages.core.networks.backbone import forward_features
from stages.core.networks.feature_extractor import to_map
from stages.core.networks.presets import PRESETS
from stages.core.networks.registry import build_backbone

POOLED = {"class_token": "class token", "attention": "attention pooling", "mean": "mean of the map"}


def main() -> None:
    """Build each preset and print what it is."""
    print(f"{'preset':<12}{'timm':<45}{'input':>6}{'width':>7}{'patches':>9}{'prefix':>8}  {'pooled':<19}{'MiB':>6}")
    for preset in PRESETS:
        print(row(preset), flush=True)


def row(preset: str) -> str:
    """A preset's line of the table."""
    with torch.device("meta"):
        backbone = build_backbone(preset)
        features = forward_features(backbone.network, torch.zeros(1, 3, *[backbone.native_input.crop_px] * 2))
    _, width, height, across = to_map(features, backbone.prefix_tokens).shape
    mib = sum(value.numel() * 4 for value in backbone.network.state_dict().values()) / 2**20
    return (
        f"{preset:<12}{PRESETS[preset]:<45}{backbone.native_input.crop_px:>6}{width:>7}{height * across:>9}"
        f"{backbone.prefix_tokens or 0:>8}  {POOLED[backbone.pooled]:<19}{mib:>6.0f}"
    )


if __name__ == "__main__":
    main()

"""Short names for trained networks that are often wanted, each a network and a tag of timm.

In: nothing. Out: `PRESETS`, for `registry.py` and `timm_networks.py`. Input size, tokens and pooling are the network's.
"""

PRESETS = {
    "dinov2_b14": "vit_base_patch14_dinov2.lvd142m",
    # OpenAI trained with another GELU than torch's: timm has the network twice, and this one gives OpenAI's results.
    "clip_l14": "vit_large_patch14_clip_quickgelu_224.openai",
    "siglip2": "vit_base_patch16_siglip_224.v2_webli",
    "convnext_l": "convnext_large.fb_in22k",
}

"""Prepare the network that turns an image into features: ResNet-101 with `fc = Identity`.

In: pretrained weights (or a seed, and train images to calibrate on). Out: `models/backbone.safetensors` and `.json`.
"""

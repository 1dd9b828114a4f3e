"""From an image file to its feature tensor: settings, the forward pass, and what decides a feature's value."""

"""Image files: which are decoded and within which limits, and the square views that are cut from them."""

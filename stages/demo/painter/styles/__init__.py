"""How a picture is painted: one module per style, each laying any scene in its own manner.

In: a random generator, a scene, a mood, the size in pixels. Out: an RGB image of that size.
What is shown is left to the genres; canvas, varnish and camera come after, in `finish`.
"""

"""The painter: 5 genres say what a picture shows, 6 styles how it is painted, 8 artists in which colours.

In: style, genre, artist and a random generator. Out: an RGB image.
Nothing here knows about files, labels or faults.
"""

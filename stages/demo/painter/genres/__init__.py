"""What a picture shows: one module per genre, each composing a scene from an artist's palette and habits.

In: a random generator, a mood, the width of the picture. Out: a `Scene`.
How it is painted is left to the styles.
"""

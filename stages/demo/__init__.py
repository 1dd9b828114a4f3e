"""The built-in demo collection: a deterministic painter of 6 styles, 5 genres and 8 invented artists.

In: `DemoSettings`. Out: image files, their labels, and the key to the faults that were planted among them.
Nothing here knows about features or classifiers.
"""

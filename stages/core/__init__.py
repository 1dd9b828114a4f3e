"""The code that several stages share, one room per subject.

Rooms: images, tables, networks, extraction, features, head, optimisation, pages. Single modules: parallel, progress,
settings, errors, device, memory, keyed_memory. No room imports a stage; pyproject.toml lists the order of the rooms.
"""

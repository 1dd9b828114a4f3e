"""What several stages stand on, a room per subject: images, tables, networks, extraction, features, head, pages.

A room imports no stage. Beside the rooms: parallel, progress, settings, errors, device, memory.
"""

"""The error that a person at the keyboard can act on."""


class StageError(Exception):
    """Says in one line what is wrong, where, and what to do; the command line prints it and exits with 1."""

"""The job that does nothing, in a module that a work-horse imports in no time."""


def nothing() -> None:
    """Return at once."""

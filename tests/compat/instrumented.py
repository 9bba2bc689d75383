"""A pytest plugin: the process that runs RQ's tests is instrumented before the first of them."""

import multiprocessing

import shipper

shipper.instrument()


def pytest_unconfigure() -> None:
    """A test of a worker pool that fails leaves its workers running, and Python would wait for them for ever."""
    for child in multiprocessing.active_children():
        child.kill()

"""Which gzip is used: isal's (extra `gzip`), where it is installed, takes a fifth of zlib's time for the same size."""

from __future__ import annotations

from typing import Any

LEVEL = 1


def module() -> Any:
    """isal's igzip or the standard library's gzip: both have `compress` and `open`."""
    try:
        from isal import igzip
    except ImportError:
        import gzip

        return gzip
    return igzip

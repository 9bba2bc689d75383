"""A short storm of kills each time; `make soak` has one of 200."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.storm import KINDS, Storm

pytestmark = pytest.mark.slow


def test_two_are_never_in_a_section_at_once_whoever_is_killed(
    connection: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    storm = Storm(tmp_path, redis_url, kinds=KINDS[:2], seed=20261126)
    storm.run(12)
    assert len(storm.killed) >= 12

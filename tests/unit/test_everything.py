"""The summary of `make test`."""

from __future__ import annotations

from tests import everything


def test_what_is_not_here_is_counted() -> None:
    (said,) = everything.not_run({})
    assert said.startswith("not run: ")
    assert int(said.split()[2]) >= 1
    assert said.endswith("tests, no Logstash here (LOGSTASH_HOME)")


def test_what_is_here_is_not_counted() -> None:
    assert everything.not_run({"LOGSTASH_HOME": "/opt/logstash"}) == []

"""The grok patterns mean to Oniguruma, whose dialect Logstash's and Elasticsearch's grok have, as to Python."""

from __future__ import annotations

import onigurumacffi  # type: ignore[import-untyped]
import pytest

from shipper.legacy import grok, heads, multiline
from shipper.legacy.carriers import Carriers
from tests import legacy_kinds, legacy_samples

PREFIXES = ("RQ_CARRIER_", "RQ_HEAD_", "RQ_LINE_", "RQ_ERROR_")


def _texts() -> list[str]:
    """Every line, and every record without its carrier and without its head."""
    logs = [case.data for case in legacy_kinds.CASES if case.encoding == "utf-8"]
    logs += [(legacy_samples.FOLDER / name).read_bytes() for name in legacy_samples.WRITTEN]
    texts = {multiline.decoded(line) for log in logs for line in log.split(b"\n")}
    texts |= {multiline.text_of(record) for log in logs for record in multiline.records_in(log, Carriers())}
    texts |= {Carriers().line(text).text for text in list(texts)}
    texts |= {heads.parse(text)["body"] for text in list(texts)}
    return sorted(texts)


TEXTS = _texts()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_oniguruma_finds_what_python_finds(prefix: str) -> None:
    definitions = grok.with_own_ids(r"nightly-\d+")
    for name in grok.names(prefix):
        pattern = grok.Expression(name, definitions)
        oniguruma = onigurumacffi.compile(grok.expression(name, definitions))
        names = [one[3:] for one in pattern.pattern.groupindex]
        for text in TEXTS:
            match, wanted = oniguruma.match(text), pattern.match(text)
            found = match and {one: match[at] for at, one in enumerate(names, 1) if match[at]}
            assert found == wanted, (name, text)


def test_a_broken_pattern_is_noticed() -> None:
    with pytest.raises(onigurumacffi.OnigError):
        onigurumacffi.compile(grok.expression("x", {"x": "(?<rq_a>b"}))

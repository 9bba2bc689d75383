"""docs/reference/metrics.md: what /metrics gives to Prometheus."""

from __future__ import annotations

from shipper.ship.counting.prometheus import ABOUT_MEASURES, LABELS, JobCollector
from shipper.ship.counting.tally import BOUNDS_S
from shipper.ship.metrics_server import COUNTERS, FILE_BACKLOG, GAUGES

from .markdown import code, page, table

TITLE = "Metrics"


class _Nothing:
    """A counter that has counted nothing: its families have names and descriptions all the same."""

    def read(self) -> list[object]:
        return []


def made() -> str:
    """The page."""
    own = [(f"shipper_{name}", "gauge", "", about) for name, about in GAUGES.items()]
    own.append(("shipper_" + FILE_BACKLOG[0], "gauge", "path", FILE_BACKLOG[1]))
    own += [(f"shipper_{name}_total", "counter", "", about) for name, about in COUNTERS.items()]
    labels = ", ".join(LABELS)
    jobs = [
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type, labels, family.documentation)
        for family in JobCollector(_Nothing()).collect()  # type: ignore[arg-type]
    ]
    assert len(jobs) > len(ABOUT_MEASURES)  # noqa: S101 - the collector still gives families when nothing was counted
    heads = ("metric", "type", "labels", "meaning")
    return page(
        TITLE,
        "`GET /metrics` on `SHIPPER_LISTEN` (127.0.0.1:9465), in Prometheus' format. The unit is in the name. StatsD "
        "and OpenTelemetry have the jobs' under other names: [counting.md](../counting.md).",
        "## The shipper",
        table(heads, [(code(name), kind, code(labels), about) for name, kind, labels, about in own]),
        "## Jobs",
        "With `SHIPPER_JOB_METRICS=true`.",
        table(heads, [(code(name), kind, code(labels), about) for name, kind, labels, about in jobs]),
        "Upper bounds of the buckets, in seconds: " + ", ".join(f"{bound:g}" for bound in BOUNDS_S) + ".",
    )

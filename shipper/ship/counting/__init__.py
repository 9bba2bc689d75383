"""Counts what jobs do, from the records that Elasticsearch accepted: for Prometheus, StatsD and OpenTelemetry."""

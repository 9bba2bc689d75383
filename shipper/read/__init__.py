"""Queries over the records in Elasticsearch: timelines, reports, states, verification of the audit trail."""

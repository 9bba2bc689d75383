"""Searches the records and state documents in Elasticsearch: timelines, reports, states."""

"""Compares the state documents in Elasticsearch with Redis, and writes the closing records that are missing."""

"""The daemon: tails files and indexes each line in Elasticsearch exactly once."""

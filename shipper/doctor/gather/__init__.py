"""Asks the machine, Redis, Elasticsearch and Kibana. Nothing is written, and nothing unpickled."""

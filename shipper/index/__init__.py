"""Installs index templates, ingest pipeline, roles and Kibana's dashboards, and deletes old indices."""

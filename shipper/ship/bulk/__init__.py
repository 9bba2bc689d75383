"""Collects documents into `_bulk` requests, sends them, evaluates the responses, and keeps dead letters."""

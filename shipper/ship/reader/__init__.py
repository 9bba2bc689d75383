"""Parses what a file holds: bytes in, documents out."""

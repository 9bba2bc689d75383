"""Discovers files, reads new lines from them, and keeps the position in each."""

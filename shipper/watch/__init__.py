"""Compares Redis with the records, and writes what no process was left to write."""

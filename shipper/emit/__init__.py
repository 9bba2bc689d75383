"""Instruments RQ in applications and workers: each job event becomes one JSON line in a file. Fast to import."""

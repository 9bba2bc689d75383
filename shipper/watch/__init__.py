"""Watching from outside: what no process is left to tell."""

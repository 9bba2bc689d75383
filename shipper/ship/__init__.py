"""The daemon: tails files and bulk-indexes each line exactly once."""

"""A small shop, to watch the whole path at work."""

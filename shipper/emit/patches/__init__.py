"""The wrappers that instrument.py puts around RQ: each calls what it wraps, and tells the observers what happened."""

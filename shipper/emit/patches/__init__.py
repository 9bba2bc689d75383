"""The wrappers that instrument.py puts around RQ's methods: each calls the original and notifies the observers."""

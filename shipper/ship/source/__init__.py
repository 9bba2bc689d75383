"""Finds the files, reads what is new in them, and keeps how far each was shipped."""

"""4. Questions to the records."""

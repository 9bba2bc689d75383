"""1. In the application and the workers: what happens to a job becomes a record in a file."""

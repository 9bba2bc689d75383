"""Runs in the application and the workers: writes a JSON record to a file for each event of a job. Imports light."""

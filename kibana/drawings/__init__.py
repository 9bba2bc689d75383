"""Vega panels, one file for each subject. What they are made of: kibana/vega.py."""

"""What is wrong with an installation: its settings, folders, clocks, Redis, Elasticsearch, Kibana, RQ and backlog.

`gather/` asks, and changes nothing. `subjects/` has a pure function for each subject, from what was gathered to
findings.
`examination.py` puts them together.
"""

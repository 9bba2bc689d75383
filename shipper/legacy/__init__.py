"""The text logs of RQ, and of task loggers before it, as records.

    lines.py → dates.py → grammar.py → pairing.py

`patterns/rq` and `grammar.json` are the grammar. Logstash (logstash/), the ingest pipeline `rq-legacy`
(shipper/index/pipelines/) and grammar.py here read the same two files, and one table of samples holds all three to it.
"""

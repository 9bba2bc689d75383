"""Converts the text logs of RQ, and of other task loggers, to records.

    lines.py → dates.py → grammar.py → pairing.py

`patterns/rq` and `grammar.json` are the grammar. Logstash (logstash/), the ingest pipeline `rq-legacy`
(shipper/index/pipelines/) and grammar.py use the same two files, and all three are tested with the same samples.
"""

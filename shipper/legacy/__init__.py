"""Converts the text logs of RQ, and of other task loggers, to records.

    carriers.py → multiline.py → heads.py → outline.py, dates.py → messages.py → record.py → pairing.py

`patterns/rq` (grok) and `grammar.json` are the grammar. Logstash (logstash/), the ingest pipeline `rq-legacy`
(shipper/index/pipelines/) and `shipper import` use the same two files, and all three are tested with the same samples.
"""

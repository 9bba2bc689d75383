"""2. The daemon: what stands in the files becomes documents in Elasticsearch, once."""

"""Real servers without Docker: a Redis and an Elasticsearch of our own, on free loopback ports."""

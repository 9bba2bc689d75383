"""Security for docker-compose.yml without an edit: passwords, certificates and keys, made at the first start.

`secrets` makes what can be made without a server, `setup` what Elasticsearch has to make. Both can be repeated. What
they make is in volumes, one for each service, so that a service sees its own credentials and no others.
"""

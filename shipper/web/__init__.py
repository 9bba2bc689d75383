"""WSGI and ASGI middlewares that put the current web request and its user on audit records and jobs."""

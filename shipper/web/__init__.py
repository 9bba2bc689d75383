"""Middlewares that tell the audit trail which request is being answered, and for whom."""

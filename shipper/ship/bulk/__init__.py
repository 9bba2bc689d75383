"""Collects documents into `_bulk` requests, sends them, and deals with what was refused."""

"""RQ's own tests, with our instrumentation loaded: what we wrap must not be noticed."""

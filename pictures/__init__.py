"""The pictures in README and docs, made by commands: `make pictures`. They are kept in docs/pictures."""

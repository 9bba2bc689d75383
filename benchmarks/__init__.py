"""Each module of this package is a command that prints its figure beside what it is compared with."""

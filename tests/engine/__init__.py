"""docker-compose.yml on a real engine: `make test-compose`. Not part of `make test`."""

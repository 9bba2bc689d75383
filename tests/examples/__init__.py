"""The examples in README and docs: `make test-examples` runs them; tests/unit/test_documented.py looks at each."""

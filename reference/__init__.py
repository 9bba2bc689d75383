"""The pages of docs/reference, made from the code: `make reference`. A test tells if one is not what the code says."""

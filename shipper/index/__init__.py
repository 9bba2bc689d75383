"""3. What Elasticsearch holds: templates, and what keeps them and the indices in order."""

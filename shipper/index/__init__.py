"""What is installed in Elasticsearch and Kibana: templates, ingest pipeline, roles, dashboards; and retention."""

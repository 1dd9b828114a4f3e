"""Formats of label tables, a module each; `stages.ingest.tables.read` lists them and tells them by their content."""

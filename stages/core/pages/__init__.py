"""HTML pages: templates, charts and thumbnails, shared by the report and the review."""

"""HTML pages: templates, charts and thumbnails that the report and the review share."""

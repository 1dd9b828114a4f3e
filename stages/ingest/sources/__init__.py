"""Label sources, a module each; `stages.ingest.label_sources` lists them."""

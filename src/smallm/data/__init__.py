"""Text in: sources, documents, split, deduplication, manifest."""

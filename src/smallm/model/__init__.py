"""The decoder, its families, its counts, and generation."""

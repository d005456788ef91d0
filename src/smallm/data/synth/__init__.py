"""Generators of text with known structure."""

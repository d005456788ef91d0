"""Ablations: one recipe trained again with one switch changed, over paired seeds, to a table with intervals."""

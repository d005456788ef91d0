"""Figures with error bars: bits per byte first."""

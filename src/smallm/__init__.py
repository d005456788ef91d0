"""smallm: the workbench for small language models, from raw text to a published model."""

__version__ = "0.1.0"

"""What the verbs of `cli.py` do; imported when they run."""

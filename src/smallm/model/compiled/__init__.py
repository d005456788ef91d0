"""One pass of the decoder as compiled code: needs numba, loaded by fast.py alone."""

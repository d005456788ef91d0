"""Packed batches, loss, optimisers, the loop, checkpoints."""

"""What a model does with a prompt: attention, logit lens, ablation, positions, generation, on one page."""

"""Fine-tuning: examples to masked tokens, adapters on a frozen base, and what came of it."""

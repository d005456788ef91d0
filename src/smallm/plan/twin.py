"""The CPU twin of a recipe: the same switches and settings, small enough for two steps in a test.

Keeps the preset, the optimiser, the schedule and the kind of tokenizer; shrinks every size; takes
generated stories instead of what would have to be downloaded or named.
"""

from __future__ import annotations

from dataclasses import replace

from smallm.core.config import Recipe, SourceConfig

LAYERS, HEAD_WIDTH, CONTEXT, VOCABULARY, TEXT_BYTES = 2, 16, 64, 512, 600_000


def cpu_twin(recipe: Recipe, steps: int = 2) -> Recipe:
    """A tiny recipe that differs from `recipe` only in sizes and sources; heads keep their grouping."""
    model, train = recipe.model, recipe.train
    heads = kv_heads = None
    if model.heads is not None:
        kv_heads = 2 if model.kv_heads else None
        heads = 2 * (model.heads // model.kv_heads) if model.kv_heads else 4
    width = HEAD_WIDTH * (heads or 4)
    batch = 4 * CONTEXT
    return replace(
        recipe,
        name=f"{recipe.name}-twin",
        data=replace(
            recipe.data,
            sources=[SourceConfig(synth="stories", size=TEXT_BYTES)],
            documents="auto",
            validation=0.1,
            validation_split="hash",
        ),
        tokenizer=replace(recipe.tokenizer, vocab_size=VOCABULARY, train_bytes=TEXT_BYTES),
        model=replace(
            model,
            layers=LAYERS,
            width=width,
            heads=heads,
            kv_heads=kv_heads,
            head_width=None,
            ffn_width=3 * width if model.ffn_width else None,
            context=CONTEXT,
            vocab_size=0,
        ),
        train=replace(
            train,
            tokens=steps * batch,
            batch_tokens=batch,
            warmup_steps=min(train.warmup_steps, 1),
            validate_every=1,
            validation_tokens=4 * CONTEXT,
            checkpoint_every=1,
            log_every=1,
            compile="off",
            prompts=[],
        ),
        eval=replace(
            recipe.eval,
            max_tokens=2000,
            stories=min(recipe.eval.stories, 2),
            items=4,
            every=min(recipe.eval.every, 1),
            every_items=2,
        ),
        report=replace(recipe.report, samples=1),
    )

"""The CPU twin of a recipe: the same switches and settings, small enough for two steps in a test.

Keeps the preset, the optimiser, the schedule and the kind of tokenizer; shrinks every size; takes
generated stories instead of what would have to be downloaded or named.
"""

from __future__ import annotations

from dataclasses import replace

from smallm.core.config import FinetuneConfig, Recipe, SourceConfig, TuneSource

LAYERS, HEAD_WIDTH, CONTEXT, VOCABULARY, TEXT_BYTES = 2, 16, 64, 512, 600_000
CONTEXT_OF_TUNING = 2 * CONTEXT  # a prompt that lists the classes is long in a vocabulary of 512
# Of a fine-tuning: its examples come from the generator that is nearest to its task.
EXAMPLES = {"translation": "translation", "classification": "sentiment", "qa": "arithmetic", "instruct": "arithmetic"}


def cpu_twin(recipe: Recipe, steps: int = 2, *, tuned_model: str | None = None) -> Recipe:
    """A tiny recipe that differs from `recipe` only in sizes and sources; heads keep their grouping.

    `tuned_model`: what a fine-tuning of another model tunes instead of that one.
    """
    recipe = replace(recipe, finetune=_tuning_twin(recipe.finetune, steps, tuned_model))
    if recipe.finetune.data and not recipe.data.sources:
        return replace(recipe, name=f"{recipe.name}-twin")
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
            context=CONTEXT_OF_TUNING if recipe.finetune.data else CONTEXT,
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


def _tuning_twin(tune: FinetuneConfig, steps: int, model: str | None) -> FinetuneConfig:
    """The same method and task with a few generated examples; untouched where there is none."""
    if not tune.data:
        return tune
    return replace(
        tune,
        model=model if tune.model else None,
        data=[TuneSource(synth=EXAMPLES[tune.task], items=120)],  # type: ignore[arg-type]
        prompt=None,
        labels=[],
        max_length=CONTEXT_OF_TUNING,
        too_long="drop",
        steps=steps,
        batch_rows=2,
        micro_rows=1,
        lora_r=min(tune.lora_r, 4),
        warmup_steps=min(tune.warmup_steps, 1),
        validation=0.1,
        test=0.1,
        validate_every=1,
        checkpoint_every=1,
        log_every=1,
        test_items=4,
        max_new_tokens=8,
    )

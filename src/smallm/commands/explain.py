"""`smallm explain`: what a model does with a prompt, as one offline page, and as JSON on request."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from smallm.core.console import count, duration, say
from smallm.core.files import write_text


def explain_command(
    model: str,
    prompt: str,
    *,
    against: str | None,
    heads: bool,
    steps: int,
    sampling: dict[str, Any],
    chat: bool,
    dtype: str,
    load_in_4bit: bool,
    tokenizer: str | None,
    json_file: Path | None,
    output: Path | None,
) -> None:
    """Look, write the page (and the JSON), print where. UserError: a model or prompt that cannot be looked at."""
    from smallm.commands.talk import _recipe_beside, _with_temperature
    from smallm.evaluate.local_models import Options, quantisation
    from smallm.explain.difference import difference
    from smallm.explain.explain import explain, explain_both
    from smallm.explain.pack import to_json
    from smallm.explain.page import write_page
    from smallm.explain.subject import open_subject
    from smallm.model.generate import SamplingConfig

    text = sys.stdin.read() if prompt == "-" else prompt
    subject = open_subject(model, Options(dtype, quantisation(load_in_4bit, False), tokenizer))
    sampling = _with_temperature(sampling, _recipe_beside(subject.path))
    drawn = SamplingConfig(max_new_tokens=steps, **sampling) if steps else None
    began = time.perf_counter()
    b = between = None
    if against is None:
        a = explain(subject, text, heads=heads, sampling=drawn, chat=chat)
    else:
        other = open_subject(against, Options(dtype, None, tokenizer))
        a, b = explain_both(subject, other, text, heads=heads, sampling=drawn, chat=chat)
        between = difference(a, b)
    path = output or default_path(Path(a.model["name"]), text, against)
    write_page(path, a, b, between)
    seconds = duration(time.perf_counter() - began)
    say(f"{path}: {len(a.ids)} tokens, {count(path.stat().st_size, 'B')}, {seconds} after loading")
    if json_file is not None:
        written = json.dumps(to_json(a, b, between), ensure_ascii=False, allow_nan=False) + "\n"
        if str(json_file) == "-":
            print(written, end="")
            return
        write_text(json_file, written)
        print(json_file)
    print(path)


def default_path(model: Path, prompt: str, against: str | None) -> Path:
    """explain/<model>-<hash of the prompt>.html in the model's run, or in a folder explain/ here."""
    digest = hashlib.sha256(f"{prompt}\0{against or ''}".encode("utf-8", "replace")).hexdigest()[:8]
    name = re.sub(r"[^\w.-]+", "-", model.name) or "model"
    run = model.parent.parent if model.parent.name == "tuned" else model.parent
    folder = run / "explain" if (run / "recipe.yaml").is_file() else Path("explain")
    return folder / f"{name}-{digest}.html"

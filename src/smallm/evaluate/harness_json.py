"""The JSON of tasks that lm-eval ran: its own results with what its command line adds, clean of paths and secrets."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any

# lm-eval's own seeds (python, numpy, torch), which tasks that shuffle their choices depend on.
SEEDS = (0, 1234, 1234)
SECRET = re.compile(r"(^|_)(token|password|passwd|secret|credentials?|api_?key|auth(orization)?)$", re.IGNORECASE)
USER_IN_ADDRESS = re.compile(r"(\w+://)[^/@\s]+@")


def complete(
    found: dict[str, Any], samples: Mapping[str, list[Any]], model: Any, tasks: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """lm-eval's results with what its CLI adds, as plain JSON: the standard errors of means, config, versions."""
    import lm_eval
    import transformers
    from lm_eval.api.metrics import mean, mean_stderr
    from lm_eval.utils import handle_non_serializable

    for name, rows in samples.items():
        for key in [k for k in found["results"][name] if "," in k and "_stderr," not in k]:
            metric, _, chosen = key.partition(",")
            values = [row[metric] for row in rows if row["filter"] == chosen and metric in row]
            if tasks[name].aggregation().get(metric) is mean and len(values) > 1:
                found["results"][name][f"{metric}_stderr,{chosen}"] = mean_stderr(values)
    tokenizer = model.tokenizer
    template = model.chat_template(True) if settings["apply_chat_template"] else None
    found |= {
        "config": {
            "model": "smallm",
            "model_args": {"pretrained": model.scorer.name},
            **model.get_model_info(),
            "batch_size": None,
            "device": None,
            "limit": settings["limit"],
            "bootstrap_iters": 0,
            "random_seed": SEEDS[0],
            "numpy_seed": SEEDS[1],
            "torch_seed": SEEDS[2],
            "fewshot_seed": settings["seed"],
        },
        "task_hashes": {name: _task_hash(rows) for name, rows in samples.items()},
        "lm_eval_version": lm_eval.__version__,
        "transformers_version": transformers.__version__,
        "tokenizer_bos_token": [tokenizer.bos_token, str(tokenizer.bos_token_id)],
        "tokenizer_eos_token": [tokenizer.eos_token, str(tokenizer.eos_token_id)],
        "eot_token_id": model.eot_token_id,
        "max_length": model.max_length,
        "chat_template": template,
        "chat_template_sha": hashlib.sha256(template.encode()).hexdigest() if template else None,
    }
    plain = json.loads(json.dumps(found, default=handle_non_serializable))
    plain["configs"] = _clean(plain["configs"])
    plain["config"] = _clean(plain["config"])
    return _finite(plain)


def _task_hash(rows: Sequence[Mapping[str, Any]]) -> str:
    """lm-eval's: over the hashes of document, prompt and target of every sample."""
    joined = "".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows)
    return hashlib.sha256(joined.encode()).hexdigest()


def _clean(value: Any) -> Any:
    """Without this machine's paths (their last part stays) and without secrets."""
    if isinstance(value, dict):
        return {
            k: "(removed)" if SECRET.search(k) and isinstance(v, str) and v else _clean(v) for k, v in value.items()
        }
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    if not isinstance(value, str):
        return value
    bare = value.removeprefix("file://")
    inside = bare.rfind("lm_eval/tasks/")
    if (os.path.isabs(bare) or PureWindowsPath(bare).drive) and "\n" not in bare and "{{" not in bare:
        return bare[inside:] if inside >= 0 else re.split(r"[/\\]", bare.rstrip("/\\"))[-1]
    return USER_IN_ADDRESS.sub(r"\1", value)


def _finite(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

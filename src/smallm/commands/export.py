"""`smallm export`: a model in another form, compared with the evaluated one before it stands anywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from smallm.core.console import count, say, warn
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, write_json

FORMATS = ("merged",)


def export_command(model: str, *, to: str, out: Path | None, base: str, dtype: str, force: bool, as_json: bool) -> None:
    if to not in FORMATS:
        raise UserError(f"--to {to}: not built yet; here: {', '.join(FORMATS)}.")
    adapter = _adapter(model)
    facts = export_merged(adapter, out, stated=base, dtype=dtype, force=force)
    if as_json:
        print(json.dumps(facts, indent=2, sort_keys=True))


def _adapter(model: str) -> Path:
    """The adapter directory that `model` means. UserError: a whole model, of which nothing is to be merged."""
    from smallm.model.resolve import is_adapter_directory, resolve_model

    path = resolve_model(model, adapters=True)
    if str(path) != model:
        say(f"model: {path}")
    if not is_adapter_directory(path):
        tuned = sorted(p for p in path.parent.glob("tuned/*") if is_adapter_directory(p))
        hint = f" The run's adapters: {', '.join(map(str, tuned))}." if tuned else ""
        raise UserError(f"{path}: a whole model already; merging is for an adapter and its base.{hint}")
    return path


def export_merged(
    adapter: Path, out: Path | None = None, *, stated: str = "auto", dtype: str = "auto", force: bool = False
) -> dict[str, Any]:
    """Merge, compare with the adapter as it was evaluated, and put it into place. Gives what was written.

    UserError (nothing is written): an adapter on the wrong base or altered, a result that is not the evaluated model
    (unless `force`, which is recorded).
    """
    from smallm.evaluate.adapters import base_name, check_base
    from smallm.finetune.merge import merge_into, plan_merge
    from smallm.model.resolve import resolve_model

    try:
        base = resolve_model(base_name(adapter))
    except UserError as error:
        raise UserError(f"{adapter}: its base model is not at hand. {error}") from None
    check_base(adapter, base)
    plan = plan_merge(adapter, base, stated, dtype)
    final = _place(adapter, out)
    reasons = _not_evaluated(adapter, plan.facts)
    say(f"{adapter} into {final}: on the {plan.stated} base, in {str(plan.dtype).removeprefix('torch.')}")
    if plan.stated == "original" and plan.facts.get("quantisation"):
        warn(
            "the adapter was trained and evaluated on the 4-bit base; on the original one it is another function, of "
            "which no figure is known."
        )
    try:
        with new_directory(final) as partial:
            facts = merge_into(plan, partial)
            found = _compare(adapter, partial, facts)
            reasons += found["reasons"]
            if reasons and not force:
                raise UserError(
                    f"{final}: not written: it is not the evaluated model: {'; '.join(reasons)}. Evaluate anew, merge "
                    "with another --dtype or --base, or write it all the same with --force (which is recorded)."
                )
            facts |= {"forced": reasons if force and reasons else None, "equivalence": found}
            write_json(partial / "smallm.json", {k: v for k, v in facts.items() if k != "equivalence"})
    except BaseException:
        shutil.rmtree(final.with_name(final.name + ".partial"), ignore_errors=True)
        raise
    _record_beside(adapter, facts)
    if reasons:
        warn(f"written with --force though it is not the evaluated model: {'; '.join(reasons)}")
    equal, of = round(100 * (found["equal_answers"] or 0)), found["prompts"]
    off, spread = found["mean_difference"], found["logits_spread"]
    say(
        f"{final}: {count(facts['parameters'])} parameters; the mean logit is {off:.2g} off the adapter's (they spread "
        f"{spread:.2g}), {equal} % of {of} answers are equal"
    )
    return facts


def _place(adapter: Path, out: Path | None) -> Path:
    """Where it goes: `out`, else export/merged in the adapter's run. UserError: something else stands there."""
    run = adapter.parent.parent if adapter.parent.name == "tuned" else adapter.parent
    final = out if out is not None else run / "export" / "merged"
    if final.exists():
        try:
            known = read_json(final / "smallm.json").get("format", "")
        except (OSError, ValueError, AttributeError):
            known = ""
        if not str(known).startswith("smallm-merged") and (not final.is_dir() or any(final.iterdir())):
            raise UserError(f"{final}: is there already and is no export. Choose another with --out DIR.")
        if known:
            say(f"{final}: replaces the export that is there")
    return final


def _not_evaluated(adapter: Path, facts: dict[str, Any]) -> list[str]:
    """Reasons from the records: the run's results of this fine-tuning are of other weights."""
    run, name, own = adapter.parent.parent, adapter.name, facts.get("weights_sha256")
    folder = run / "eval" / name
    results = sorted(folder.glob(f"{name}-????????-*.json")) if adapter.parent.name == "tuned" else []
    hashes = {path.name[len(name) + 1 :][:8] for path in results}
    if own and hashes and str(own)[:8] not in hashes:
        return [f"the results in {folder} are of {', '.join(sorted(hashes))}, this adapter is {str(own)[:8]}"]
    if not hashes and adapter.parent.name == "tuned":
        say(f"{adapter}: no results of it in {folder} yet; it is compared with the adapter itself")
    return []


def _compare(adapter: Path, merged: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """The merged model as it lies on the disk against the adapter on its base; recorded beside the merged one."""
    from smallm.evaluate.identity import weights_sha256
    from smallm.evaluate.model_tokenizer import open_tokenizer
    from smallm.finetune.equivalence import compare, look_at, prompts_for, record

    run = adapter.parent.parent if adapter.parent.name == "tuned" else None
    prompts, source = prompts_for(adapter, open_tokenizer(None, merged), run, adapter.name)
    evaluated, bare, sha256 = look_at(adapter, prompts)
    found, _, own = look_at(merged, prompts)
    figures = compare(evaluated, found, bare, stored=facts["dtype"])
    if own != facts["weights_sha256"] or weights_sha256(merged) != own:
        figures["reasons"] = [*figures["reasons"], "the weights on the disk are not those that were merged"]
        figures["equal"] = False
    record(merged, a=f"adapter {sha256[:8]}", b=f"merged {own[:8]}", from_prompts=source, **figures)
    return figures


def _record_beside(adapter: Path, facts: dict[str, Any]) -> None:
    """The comparison in the adapter's equivalence.json too."""
    from smallm.finetune.equivalence import record

    own = str(facts.get("evaluated_weights_sha256") or facts["adapter_sha256"])
    record(
        adapter,
        a=f"adapter {own[:8]}",
        b=f"merged {facts['weights_sha256'][:8]}",
        base_stated=facts["base_stated"],
        **facts["equivalence"],
    )

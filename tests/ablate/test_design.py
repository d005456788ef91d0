"""Laws of an ablation as it is written: one switch at a time, equal FLOPs, and faults that say where they stand."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from ablate.tiny import TINY, arm_of, tiny

from smallm.ablate.design import Arm, chosen, load_ablation, packaged_ablations, step_tokens, training_flops
from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.recipe import load_recipe
from smallm.model.count import non_embedding_parameters, parameters

PAPERS = Path(__file__).resolve().parents[2] / "papers"
OURS = load_ablation("papers")


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): value}


def differing(a: Recipe, b: Recipe) -> set[str]:
    one, other = (flat(dataclasses.asdict(recipe)) for recipe in (a, b))
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


@pytest.mark.parametrize("arm", OURS.arms, ids=lambda arm: arm.full_name)
def test_an_arm_differs_from_the_base_in_its_own_keys_and_in_the_tokens_that_the_flops_rule_sets(arm: Arm) -> None:
    changed = differing(arm.recipe, OURS.base)
    assert changed <= {*arm.keys, "train.tokens"}
    assert arm.keys.keys() <= changed | {"train.dtype"}
    assert all(getattr(getattr(arm.recipe, k.split(".")[0]), k.split(".")[1]) is not None for k in arm.keys)


@pytest.mark.parametrize("arm", OURS.arms, ids=lambda arm: arm.full_name)
def test_every_arm_spends_the_flops_of_the_base_within_one_percent_unless_tokens_are_its_switch(arm: Arm) -> None:
    ratio = training_flops(arm.recipe) / training_flops(OURS.base)
    stated = "train.tokens" in arm.keys
    assert arm.recipe.train.tokens % step_tokens(arm.recipe) == 0
    assert abs(ratio - (arm.recipe.train.tokens / OURS.base.train.tokens if stated else 1.0)) < 0.01
    assert stated or arm.recipe.train.tokens >= 3_000_000


def test_the_base_of_the_papers_has_about_five_million_parameters_and_three_seeds() -> None:
    assert 4e6 < parameters(OURS.base.model) < 6e6
    assert len(OURS.seeds) == 3


def test_the_switches_of_the_issue_are_all_there() -> None:
    said = {"position", "norm", "mlp", "heads", "window", "tied", "shared_layers", "qk_norm", "optimizer"}
    assert said <= {group.name for group in OURS.groups}
    assert all(group.others for group in OURS.groups)


def test_mlps_have_equally_many_weights() -> None:
    [mlp] = [group for group in OURS.groups if group.name == "mlp"]
    assert len({non_embedding_parameters(arm.recipe.model) for arm in mlp.arms}) == 1
    assert {arm.recipe.model.mlp for arm in mlp.others} == {"relu", "gelu", "relu2"}


def test_every_row_of_a_page_is_a_group_or_is_said_to_be_measured_elsewhere() -> None:
    named = {
        n for page in PAPERS.glob("*.md") for n in re.findall(r"^<!-- ablation: (\w+) -->$", page.read_text(), re.M)
    }
    assert named <= {group.name for group in OURS.groups} | OURS.elsewhere.keys()
    assert OURS.elsewhere.keys() <= named


def test_fewer_flops_a_token_are_more_tokens() -> None:
    ablation = tiny()
    assert arm_of(ablation, "heads.mqa").recipe.train.tokens > ablation.base.train.tokens
    model = dataclasses.replace(ablation.base.model, position="none")
    assert arm_of(ablation, "position.none").recipe == dataclasses.replace(ablation.base, model=model)


def test_the_recipe_may_extend_another(tmp_path: Path) -> None:
    text = TINY.replace("recipe:\n", "recipe:\n  extends: quickstart\n")
    ablation = tiny(text)
    assert ablation.base.train.momentum == load_recipe("quickstart").train.momentum
    assert ablation.base.model.width == 32
    inherited = tiny(re.sub(r"  data: .*", "  extends: quickstart", TINY, count=1)).base
    assert (inherited.eval.suites, inherited.eval.stories, inherited.eval.every) == ([], 0, 0)
    assert not inherited.finetune.data
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    assert load_ablation(path) == ablation


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "model.position: none",
            "model.position: nowhere",
            r"tiny.yaml:17: model.position is `nowhere`; it must be one",
        ),
        ("model.position: none", "model.positoin: none", r"tiny.yaml:17: model.positoin is not a key .*`position`"),
        (
            "model.position: none",
            "tokenizer.vocab_size: 99",
            r"tiny.yaml:17: `tokenizer.vocab_size`: an arm changes keys",
        ),
        ("model.position: none", "position: none", r"tiny.yaml:17: `position`: an arm changes keys"),
        ("model.kv_heads: 1", "model.kv_heads: 3", r"tiny.yaml:21: model.kv_heads: 3 does not divide model.heads: 4"),
        ("none: {model.position: none}", "none: [1]", r"tiny.yaml:17: an arm is a section of keys"),
        ("none: {", "no.ne: {", r"tiny.yaml:17: `no.ne` names a directory"),
        ("baseline: rope", "baseline: ropes", r"tiny.yaml:14: baseline is `ropes`, which is no arm of `position`"),
        ("    baseline:", "    basline:", r"tiny.yaml:14: `basline` is not a key of groups.position. .*`baseline`"),
        ("seeds: [0, 1, 2]", "seeds: [0, 0]", r"tiny.yaml:3: seeds must be a list of different whole numbers"),
        ("name: tiny", "name: a/b", r"tiny.yaml:1: name is `a/b`"),
        ("recipe:", "recipes:", r"tiny.yaml:4: `recipes` is not a key of an ablation. Did you mean `recipe`"),
        ("vocab_size: 320", "vocab_size: 32", r"tiny.yaml:6: tokenizer.vocab_size is `32`; it must be at least"),
        ("  lora:", "  heads:", r"tiny.yaml:23: `heads` is a group as well"),
        ("groups:\n", "groups: [\n", r"tiny.yaml:\d+: not valid YAML"),
        ("{vocab_size: 320}", "{kind: char}", r"tiny.yaml:4: set model.vocab_size"),
    ],
)
def test_a_fault_is_said_with_file_line_and_remedy(old: str, new: str, said: str) -> None:
    assert old in TINY
    with pytest.raises(UserError, match=said):
        tiny(TINY.replace(old, new))


def test_an_ablation_without_groups_or_recipe_is_refused() -> None:
    with pytest.raises(UserError, match="needs the section `groups`"):
        tiny(TINY.split("groups:")[0])
    with pytest.raises(UserError, match="needs the section `arms`"):
        tiny(TINY.replace("    arms:\n      mha: {}\n      mqa: {model.kv_heads: 1}\n", "    title: x\n"))


def test_a_name_that_is_not_there_is_answered_with_the_nearest() -> None:
    assert "papers" in packaged_ablations()
    with pytest.raises(UserError, match=r"paper: no such ablation; .* Did you mean `papers`\?"):
        load_ablation("paper")
    with pytest.raises(UserError, match=r"--only positon: no such group; .* Did you mean `position`\?"):
        chosen(tiny(), ["positon"])
    with pytest.raises(UserError, match=r"--only heads.mha2: no such arm in `heads`; .* Did you mean `mha`\?"):
        chosen(tiny(), ["heads.mha2"])


def test_an_arm_is_chosen_with_its_baseline_and_a_group_whole() -> None:
    ablation = tiny()
    assert chosen(ablation, []) == ablation.arms
    assert [arm.full_name for arm in chosen(ablation, ["position.none"])] == ["position.rope", "position.none"]
    assert [arm.full_name for arm in chosen(OURS, ["norm"])] == ["norm.rms", "norm.layer", "norm.post"]
    assert [a.full_name for a in chosen(OURS, ["mlp.relu", "window"])] == [
        "mlp.swiglu",
        "mlp.relu",
        "window.whole",
        "window.window",
    ]

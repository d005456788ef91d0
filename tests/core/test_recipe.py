"""Laws of reading recipes: what is right loads, what is wrong says where, which rule, and what to do."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core import config
from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.recipe import dump_recipe, load, load_recipe, packaged_recipes, recipe_from_text, rules
from smallm.core.schema import json_schema, keys_of, read_size


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def error_of(path: Path | str, overrides: tuple[str, ...] = (), cwd: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(path, overrides, cwd=cwd)
    return str(caught.value)


# ---- every valid recipe survives being written and read ------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def _value(f: dataclasses.Field, hint: object) -> st.SearchStrategy:
    low = f.metadata["bounds"].get("ge", f.metadata["bounds"].get("gt"))
    high = f.metadata["bounds"].get("le", f.metadata["bounds"].get("lt"))
    args = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(args)
    if type(None) in args:
        return st.none() | _value(f, next(a for a in args if a is not type(None)))
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(int((low or 0) + 1), 10**12)
    if hint is float:
        return st.floats(
            low or 0.0, high if high is not None else 1e9, exclude_min=True, exclude_max=True, allow_subnormal=False
        )
    if typing.get_origin(hint) is list:
        return st.lists(TEXT, max_size=3)
    return TEXT


def _section(cls: type, **given_values: st.SearchStrategy) -> st.SearchStrategy:
    hints = typing.get_type_hints(cls)
    fields = {
        f.name: given_values[f.name] if f.name in given_values else _value(f, hints[f.name])
        for f in dataclasses.fields(cls)
    }
    return st.builds(cls, **fields)


SOURCES = _section(
    config.SourceConfig, path=TEXT.map(lambda t: "/" + t), hub=st.none(), synth=st.none(), builtin=st.none()
)
TUNE_SOURCES = _section(config.TuneSource, path=TEXT.map(lambda t: "/" + t), hub=st.none() | TEXT, synth=st.none())
PATHS = st.none() | TEXT.map(lambda t: "/nowhere/" + t)
RECIPES = _section(
    Recipe,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    data=_section(config.DataConfig, sources=st.lists(SOURCES, max_size=2)),
    tokenizer=_section(config.TokenizerConfig, path=PATHS, vocab_size=st.integers(300, 10**6)),
    model=_section(
        config.ModelConfig,
        vocab_size=st.just(0),
        context=st.integers(8, 1000),
        rope_scaling=st.none() | st.just({"rope_type": "linear", "factor": 2.0}),
    ),
    train=_section(
        config.TrainConfig,
        batch_tokens=st.integers(1000, 10**6),
        tokens=st.integers(10**6, 10**12),
        init_from=st.none(),
    ),
    finetune=_section(
        config.FinetuneConfig,
        data=st.lists(TUNE_SOURCES, max_size=2),
        name=st.just("tuned"),
        model=st.just("/nowhere/a-model"),
        general=PATHS,
        task=st.just("instruct"),
        labels=st.just([]),
        method=st.just("lora"),
        lora_target_modules=st.just("all-linear") | st.lists(TEXT, max_size=2),
    ),
    eval=_section(
        config.EvalConfig,
        suites=st.lists(st.sampled_from(["smallm", "/a/b.yaml"]), max_size=2),
        data=st.lists(TEXT.map(lambda t: "/" + t), max_size=2),
    ),
    report=_section(config.ReportConfig),
)


@settings(max_examples=30, deadline=None)
@given(RECIPES)
def test_a_dumped_recipe_loads_back_equal(recipe: Recipe) -> None:
    assert recipe_from_text(dump_recipe(recipe), "x.yaml", Path("/")) == recipe


@settings(max_examples=60, deadline=None)
@given(TEXT | st.sampled_from(["1e5", "on", "no", "0x1F", "1:30", "~", "010", ".inf", "2024-01-01", "<<", "=", "true"]))
def test_a_dumped_text_is_the_same_text_for_yaml_1_1_readers_too(text: str) -> None:
    dumped = dump_recipe(Recipe(name="x", description=text))
    assert yaml.safe_load(dumped)["description"] == text
    assert recipe_from_text(dumped, "x.yaml", Path("/")).description == text


def test_a_dump_holds_every_key_of_every_section() -> None:
    dumped = yaml.safe_load(dump_recipe(Recipe(name="x")))
    for section in ("data", "tokenizer", "model", "train", "eval", "report"):
        fields = {f.name for f in dataclasses.fields(type(getattr(Recipe(), section)))}
        assert set(dumped[section]) == fields


def test_the_schema_has_exactly_the_keys_of_the_dataclasses_and_their_defaults(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path / "a.yaml", "name: a")) == Recipe(name="a")
    schema = json_schema()
    for name, cls in (("TrainConfig", config.TrainConfig), ("ModelConfig", config.ModelConfig)):
        assert set(schema["$defs"][name]["properties"]) == {f.name for f in dataclasses.fields(cls)}
        assert schema["$defs"][name]["additionalProperties"] is False


def test_every_key_has_a_help_text() -> None:
    sections = {"data", "tokenizer", "model", "train", "finetune", "eval", "report"}
    assert [k for k, f in keys_of().items() if not f.metadata.get("help") and k not in sections] == []


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("5M", 5_000_000), ("1.7B", 1_700_000_000), ("20MB", 20_000_000), ("2KiB", 2048), ("4096", 4096), ("3k", 3000),
     ("1.23456789G", 1_234_567_890), (5e6, 5_000_000), (17, 17)],
)  # fmt: skip
def test_sizes_read_as_people_write_them(text: object, value: int) -> None:
    assert read_size(text) == value


@pytest.mark.parametrize("text", ["5Q", "M", "-5M", "1.5", "0.0001k", "five", "", "5 5M"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        read_size(text)


@pytest.mark.parametrize(
    ("text", "value"), [("3e-4", 3e-4), ("3E-4", 3e-4), ("1", 1.0), (".5", 0.5), ("1_000.5", 1000.5)]
)
def test_numbers_without_a_dot_are_numbers(tmp_path: Path, text: str, value: float) -> None:
    path = write(tmp_path / "a.yaml", f"train: {{learning_rate: {text}}}")
    assert load_recipe(path).train.learning_rate == value
    assert load_recipe(path, [f"train.learning_rate={text}"]).train.learning_rate == value


def test_on_and_off_are_words_and_not_booleans(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "train: {compile: on}")
    assert load_recipe(path).train.compile == "on"
    assert load_recipe(path, ["train.compile=off"]).train.compile == "off"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model: {layers: 0}", "model.layers is `0`; it must be at least 1."),
        ("model: {layers: 2.5}", "model.layers is `2.5`; it must be a whole number."),
        ("model: {layers: '6'}", "model.layers is `6`; it must be a whole number."),
        ("model: {layers: true}", "model.layers is `true`; it must be a whole number."),
        ("model: {layers: }", "model.layers is empty; it must be a whole number."),
        (
            "model: {preset: qwen}",
            "it must be one of qwen3, llama, gpt2, mistral, phi, "
            "phi3, smollm, mobilellm, transformer. Did you mean `qwen3`?",
        ),
        ("model: [1]", "model is a list; it must be a section"),
        ("train: {learning_rate: .nan}", "it must be a finite number"),
        ("train: {learning_rate: -1}", "it must be greater than 0."),
        ("train: {tokens: 5Q}", "train.tokens is `5Q`; it must be a number like 4096, 5M"),
        ("train: {deterministic: 'yes'}", "it must be true or false"),
        ("data: {validation: 0.5}", "data.validation is `0.5`; it must be less than 0.5."),
        ("prompts: {a: b}", "prompts is a section; it must be a list."),
        ("prompts: [1]", "prompts[0] is `1`; it must be text (put it in quotes)."),
        ("name: 5", "name is `5`; it must be text (put it in quotes)."),
        ("name: a/b", "name is `a/b`; it names a directory"),
        ("data: {sources: [{path: a, hub: b}]}", "data.sources[0] needs exactly one of"),
        ("data: {sources: [{text: b}]}", "and has none of them"),
        (
            "data: {sources: ['synth:storys']}",
            "data.sources[0].synth is `storys`; it must be one of stories, sentences, headlines. Did you mean",
        ),
        ("model: {context: 512}\ntrain: {batch_tokens: 256}", "less than one row of model.context (512)"),
        ("train: {tokens: 100}", "less than one step of train.batch_tokens"),
        ("tokenizer: {vocab_size: 200}", "at least 288 are needed: 32 special tokens and 256 bytes"),
        ("model: {vocab_size: 100}", "Leave model.vocab_size at 0"),
    ],
)
def test_a_wrong_value_is_refused_with_key_value_and_rule(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "a.yaml", f"# a comment\n{line}\n")
    message = error_of(path)
    assert said in message
    assert message.startswith(f"{path}:2: ") or message.startswith(f"{path}:3: ") or "batch_tokens" in message


def test_every_mistake_is_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "train:\n  tokens: 5Q\n  learning_rte: 1\nmodel:\n  layers: 0\n  widht: 1\n"
    lines = error_of(write(tmp_path / "a.yaml", text)).splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "5", "6"]


def test_a_rule_is_no_rule_for_the_defaults() -> None:
    assert rules(Recipe(name="x")) == []


# ---- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("train: {learning_rte: 1}", "train.learning_rte is not a key of `train`. Did you mean `learning_rate`?"),
        ("tran: {tokens: 1}", "tran is not a key of a recipe. Did you mean `train`?"),
        ("learning_rate: 1", "learning_rate is not a key of a recipe. Did you mean `train.learning_rate`?"),
        ("train: {layers: 1}", "Did you mean `model.layers`?"),
        ("model: {n_layer: 1}", "`n_layer` (nanoGPT) is `model.layers` here."),
        ("train: {max_iters: 1}", "tokens = max_iters x batch_size x gradient_accumulation_steps x block_size"),
        ("sequence_len: 1", "`sequence_len` (Axolotl) is `finetune.max_length` here"),
        ("finetune: {gradient_accumulation_steps: 4}", "is `finetune.batch_rows` here: batch_rows = "),
        ("train: {gradient_accumulation_steps: 4}", "is `train.batch_tokens` here: batch_tokens = "),
        ("train: {lora_r: 1}", "train.lora_r is not a key of `train`. Did you mean `finetune.lora_r`?"),
        ("train: {zzz: 1}", "Its keys: tokens, batch_tokens"),
        (
            "data: {sources: [{path: x, txet: y}]}",
            "data.sources[0].txet is not a key of `data.sources[]`. Did you mean `text`?",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path, key: str, said: str) -> None:
    path = write(tmp_path / "mine.yaml", key)
    assert said in error_of(path)
    assert error_of(path).startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n", ":1: the file must be `key: value` lines, this is a list"),
        ("a\n", "this is the text 'a'"),
        ("train:\n  tokens: [1\n", "not valid YAML"),
        ("train:\n\ttokens: 1\n", ":2: not valid YAML"),
        ("train: {tokens: 1}\ntrain: {tokens: 2}\n", ":2: `train` stands twice (first on line 1)"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("data: &a [*a]\n", "an alias (*name) that holds itself"),
        ("1: 2\n", "a key must be a word"),
        ("name: !!python/object:os.system x\n", "cannot read"),
        ("name: \x00\n", "not valid YAML"),
        ("x: " + "[" * 2000 + "\n", "nested too deeply"),
        ("extends: 5\n", ":1: extends is `5`; it must be the name or the path of one recipe"),
        ("extends: quickstrat\n", ":1: extends: quickstrat: no such recipe"),
    ],
)
def test_what_is_no_recipe_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "a.yaml", text)
    message = error_of(path)
    assert said in message
    assert message.startswith(str(path))


def test_a_recipe_that_is_not_utf8_says_at_which_byte(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"name: \xff\n")
    assert "not UTF-8 (byte 6)" in error_of(tmp_path / "a.yaml")


def test_a_recipe_that_is_not_there_names_the_packaged_ones() -> None:
    assert "Did you mean `quickstart`?" in error_of("quickstrat")


# ---- extends, paths and overrides ----------------------------------------------------------------------------------


def test_extends_merges_sections_and_replaces_lists(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "name: base\nprompts: [a, b]\ntrain: {learning_rate: 0.5, beta1: 0.5}")
    child = load_recipe(write(tmp_path / "child.yaml", "extends: base.yaml\nprompts: [c]\ntrain: {beta1: 0.1}"))
    assert (child.train.learning_rate, child.train.beta1, child.prompts, child.name) == (0.5, 0.1, ["c"], "child")


def test_other_sources_do_not_inherit_what_describes_the_old_text(tmp_path: Path) -> None:
    child = load_recipe(write(tmp_path / "my own.yaml", "extends: quickstart\ndata: {sources: [a.txt]}"))
    assert (child.name, child.description, child.prompts, child.eval.stories) == ("my-own", "", [], 0)
    assert child.eval.suites == []
    assert child.model == load_recipe("quickstart").model


def test_extends_in_a_circle_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml")
    write(tmp_path / "b.yaml", "extends: a.yaml")
    assert "circle (a.yaml -> b.yaml -> a.yaml)" in error_of(tmp_path / "a.yaml")


def test_a_file_may_carry_the_name_of_the_packaged_recipe_that_it_extends(tmp_path: Path) -> None:
    path = write(tmp_path / "quickstart.yaml", "extends: quickstart\nseed: 5")
    assert load_recipe(path).seed == 5


def test_a_mistake_in_the_base_is_reported_in_the_base(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "\n\ntrain: {tokens: 5Q}")
    message = error_of(write(tmp_path / "child.yaml", "extends: base.yaml"), cwd=tmp_path)
    assert message.startswith("base.yaml:3: ")


def test_paths_are_relative_to_the_file_that_wrote_them_and_overrides_to_where_one_stands(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    path = write(tmp_path / "recipes" / "a.yaml", "data: {sources: [x.txt, {path: ../y/*.md}]}\ntokenizer: {path: t}")
    loaded = load_recipe(path, cwd=tmp_path)
    assert [s.path for s in loaded.data.sources] == [str(path.parent / "x.txt"), str(path.parent / "../y/*.md")]
    assert loaded.tokenizer.path == str(path.parent / "t")
    here = load_recipe(path, ["data.sources=[z.txt, python-docs]", "tokenizer.path=u"], cwd=tmp_path)
    assert here.data.sources[0].path == str(tmp_path / "z.txt")
    assert here.data.sources[1].builtin == "python-docs"
    assert here.tokenizer.path == str(tmp_path / "u")
    one = load_recipe(path, ["data.sources[1].path=w.md"], cwd=tmp_path)
    assert [s.path for s in one.data.sources] == [str(path.parent / "x.txt"), str(tmp_path / "w.md")]


def test_suites_are_names_or_paths_and_their_data_lies_where_the_recipe_says(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    path = write(tmp_path / "recipes" / "a.yaml", "eval: {suites: [core, my.yaml, ../b/c.yaml], data: tasks}")
    folder = str(path.parent)
    loaded = load_recipe(path, cwd=tmp_path)
    assert loaded.eval.suites == ["core", f"{folder}/my.yaml", f"{folder}/../b/c.yaml"]
    assert loaded.eval.data == [f"{folder}/tasks"]
    here = load_recipe(path, ["eval.suites=own.yaml", "eval.data=[x]"], cwd=tmp_path)
    assert (here.eval.suites, here.eval.data) == ([str(tmp_path / "own.yaml")], [str(tmp_path / "x")])
    assert load_recipe(path, ["eval.suites[1]=d/e.yaml"], cwd=tmp_path).eval.suites[:2] == [
        "core",
        str(tmp_path / "d/e.yaml"),
    ]


def test_one_source_needs_no_list(tmp_path: Path) -> None:
    for text in ("hub:user/set", "{hub: user/set}", "[hub:user/set]"):
        loaded = load_recipe(write(tmp_path / "a.yaml", f"data: {{sources: {text}}}"))
        assert [s.hub for s in loaded.data.sources] == ["user/set"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.learning_rte=1", "--set train.learning_rte: train.learning_rte is not a key of `train`. Did you mean"),
        ("train.tokens", "write KEY=VALUE"),
        ("=5", "is not a key"),
        ("train..x=5", "is not a key"),
        ("train.tokens.x=5", "--set train.tokens.x: train.tokens is a section; it must be a whole number"),
        ("train.tokens=[1", "--set train.tokens:1: not valid YAML"),
        ("train.tokens=5Q", "--set train.tokens: train.tokens is `5Q`"),
        ("data.sources[7].path=x", "there is no [7] in a list of 0"),
        ("name.x=5", "`name` is not a section"),
    ],
)
def test_a_wrong_override_is_refused_by_name(tmp_path: Path, override: str, said: str) -> None:
    assert said in error_of(write(tmp_path / "a.yaml", "name: a"), (override,))


def test_a_run_directory_is_a_recipe(tmp_path: Path) -> None:
    write(tmp_path / "recipe.yaml", dump_recipe(Recipe(name="x", seed=3)))
    assert load_recipe(tmp_path).seed == 3


def test_a_loaded_recipe_knows_where_its_keys_were_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "name: a\nmodel:\n  layers: 3\n")
    loaded = load(path, ["model.width=64"])
    assert loaded.origin("model.layers") == f"{path}:3"
    assert loaded.origin("model.width") == "--set model.width"
    assert loaded.origin("model.context") == f"{path}:2"


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_every_packaged_recipe_loads_and_its_dump_is_equal(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe_from_text(dump_recipe(recipe), "x.yaml", Path("/")) == recipe

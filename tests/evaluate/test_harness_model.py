"""What lm-eval's users hand to the model and get from it: keywords, refusals, caches, chats, the name `smallm`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness_models import asked, our_model, save_tiny

from smallm.core.errors import UserError
from smallm.evaluate.harness import OWNER_KEY, SmallmLM
from smallm.evaluate.requests import Score

CHAT = (
    "{% for m in messages %}{% if m.role == 'system' and refuse %}{{ raise_exception('no system') }}{% endif %}"
    "[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, shared_data: Callable[[str], Path]) -> Path:
    return save_tiny(tmp_path_factory.mktemp("gpt2"), shared_data("tokenizers"))


@pytest.fixture(scope="module")
def loaded(directory: Path) -> Any:
    return our_model(directory)


@pytest.fixture
def ours(loaded: Any) -> Any:
    return SmallmLM.of(loaded.scorer)


class Recorder:
    """A scorer that answers at once and remembers what it was asked."""

    name, max_length, parameters = "recorder", 64, 7

    def __init__(self, scorer: Any, *, weights: str | None = "a" * 64) -> None:
        self.tokenizer, self.encoder = scorer.tokenizer, scorer.encoder
        self.weights_sha256, self.tokenizer_sha256, self.settings = weights, "b" * 64, {"dtype": "float32"}
        self.asked: list[Any] = []

    def loglikelihoods(self, requests: Any) -> list[Score]:
        self.asked.append(list(requests))
        return [Score(-float(len(r.continuation)), False, 1) for r in requests]

    def rolling(self, texts: Any) -> list[Score]:
        self.asked.append(list(texts))
        return [Score(-float(len(t)), False, 1) for t in texts]

    def generate(self, prompts: Any, *, until: Any = (), max_new_tokens: int = 256) -> list[str]:
        self.asked.append((list(prompts), tuple(until), max_new_tokens))
        return [f"{p}:{max_new_tokens}" for p in prompts]


# ---- keywords ------------------------------------------------------------------------------------------------------


def test_the_keywords_that_users_of_hf_know_load_the_same_model(directory: Path, loaded: Any) -> None:
    same = SmallmLM.create_from_arg_obj(
        {"pretrained": str(directory), "dtype": "float32", "trust_remote_code": False, "add_bos_token": False},
        {"batch_size": "auto:4", "max_batch_size": 64, "device": "cuda:0"},
    )
    pair = asked("loglikelihood", [("Once", " upon a time")])
    assert same.loglikelihood(pair)[0][0] == pytest.approx(loaded.loglikelihood(pair)[0][0], abs=1e-5)
    assert same.eot_token_id == loaded.tokenizer.eos_token_id == same.prefix_token_id
    assert same.get_model_info()["model_sha"] == loaded.scorer.weights_sha256


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parallelize": True}, "smallm has no parallelize"),
        ({"pretrained": None}, "name the model"),
        ({"batch_size": "many"}, "batch_size=many"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"max_length": 100_000}, "100"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_name(directory: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        SmallmLM(**{"pretrained": str(directory), "device": "cpu", **options})


@pytest.mark.parametrize(
    ("size", "tokens"), [(None, None), (1, None), ("1", None), ("auto", None), ("auto:4", None), (8, 8192), ("4", 4096)]
)
def test_a_batch_size_becomes_a_budget_of_tokens(
    size: Any, tokens: int | None, loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import smallm.evaluate.scorer as scorer

    seen: dict[str, Any] = {}
    monkeypatch.setattr(scorer, "load_scorer", lambda model, **options: seen.update(options) or loaded.scorer)
    SmallmLM("anything", batch_size=size)
    assert seen["batch_tokens"] == tokens
    SmallmLM("anything", batch_size=size, batch_tokens=77)
    assert seen["batch_tokens"] == 77


# ---- generation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 0.7, "until": ["\n"]},
        {"temperature": 0.7},
        {"do_sample": True},
        {"num_beams": 4},
        {"repetition_penalty": 1.2},
        {"max_length": 100},
    ],
)
def test_settings_that_greedy_text_does_not_have_are_refused_never_ignored(settings: dict[str, Any], ours: Any) -> None:
    with pytest.raises(UserError, match=r"sampling|does not know"):
        ours.generate_until(asked("generate_until", [("Once", settings)]))


@pytest.mark.parametrize("name", ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"])
def test_every_name_that_lm_eval_takes_for_the_limit_is_taken(name: str, ours: Any) -> None:
    recorder = Recorder(ours.scorer)
    settings = {"until": "\n", name: 5, "do_sample": False, "temperature": 0.0, "top_k": 50}
    assert SmallmLM.of(recorder).generate_until(asked("generate_until", [("Once", settings)])) == ["Once:5"]
    assert recorder.asked == [(["Once"], ("\n", "<|endoftext|>"), 5)]


def test_prompts_of_equal_settings_go_together_and_answers_keep_their_order(ours: Any) -> None:
    recorder = Recorder(ours.scorer)
    wanted = [("a", {"max_gen_toks": 3}), ("b", {"max_gen_toks": 4}), ("c", {"max_gen_toks": 3})]
    assert SmallmLM.of(recorder).generate_until(asked("generate_until", wanted)) == ["a:3", "b:4", "c:3"]
    assert [prompts for prompts, _, _ in recorder.asked] == [["a", "c"], ["b"]]


# ---- caches --------------------------------------------------------------------------------------------------------


def cached(model: SmallmLM, path: Path) -> Any:
    from lm_eval.api.model import CachingLM

    return CachingLM(model, str(path))


def close(model: Any) -> None:
    model.dbdict.close()


def test_lm_evals_cache_answers_the_same_model_and_never_another(ours: Any, tmp_path: Path) -> None:
    pairs = asked("loglikelihood", [("a", " b"), ("a", " cc")])
    first = Recorder(ours.scorer)
    model = cached(SmallmLM.of(first), tmp_path / "answers.db")
    scores = model.loglikelihood(pairs)
    close(model)

    again = Recorder(ours.scorer)
    model = cached(SmallmLM.of(again), tmp_path / "answers.db")
    assert model.loglikelihood(pairs) == scores
    assert again.asked == []
    close(model)

    with pytest.raises(UserError, match="another model or of other settings"):
        cached(SmallmLM.of(Recorder(ours.scorer, weights="c" * 64)), tmp_path / "answers.db")
    other = Recorder(ours.scorer)
    other.settings = {"dtype": "bfloat16"}
    with pytest.raises(UserError, match="another model or of other settings"):
        cached(SmallmLM.of(other), tmp_path / "answers.db")


def test_a_cache_that_another_kind_of_model_began_is_refused(ours: Any, tmp_path: Path) -> None:
    from lm_eval.api.model import CachingLM
    from lm_eval.models.dummy import DummyLM

    model = CachingLM(DummyLM(), str(tmp_path / "answers.db"))
    model.loglikelihood(asked("loglikelihood", [("a", " b")]))
    close(model)
    with pytest.raises(UserError, match="unknown model"):
        cached(SmallmLM.of(Recorder(ours.scorer)), tmp_path / "answers.db")


def test_a_server_whose_weights_nobody_knows_gets_no_cache(ours: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be known"):
        cached(SmallmLM.of(Recorder(ours.scorer, weights=None)), tmp_path / "answers.db")


def test_an_interrupted_run_keeps_the_slices_that_were_done(
    ours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import smallm.evaluate.harness as harness

    monkeypatch.setattr(harness, "CACHED_SLICE", 2)
    pairs = asked("loglikelihood", [("a", f" {i}") for i in range(5)])
    broken = Recorder(ours.scorer)
    answer = broken.loglikelihoods
    monkeypatch.setattr(broken, "loglikelihoods", lambda r: answer(r) if len(broken.asked) < 2 else pytest.fail("stop"))
    model = cached(SmallmLM.of(broken), tmp_path / "answers.db")
    with pytest.raises(BaseException, match="stop"):
        model.loglikelihood(pairs)
    close(model)
    again = Recorder(ours.scorer)
    model = cached(SmallmLM.of(again), tmp_path / "answers.db")
    model.loglikelihood(pairs)
    assert [len(batch) for batch in again.asked] == [1]
    assert OWNER_KEY in model.dbdict
    close(model)


def test_the_cache_of_built_requests_is_keyed_by_the_tokenizers_content(ours: Any) -> None:
    assert ours.scorer.tokenizer_sha256[:16] in ours.tokenizer_name


# ---- chats ---------------------------------------------------------------------------------------------------------

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def test_a_chat_is_written_by_the_tokenizers_template_as_hf_writes_it(
    ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours.tokenizer, "chat_template", CHAT.replace("refuse", "false"))
    assert ours.apply_chat_template(MESSAGES) == "[system] Be brief.\n[user] Hello\n[assistant]"
    begun = [*MESSAGES, {"role": "assistant", "content": "Good"}]
    assert ours.apply_chat_template(begun, add_generation_prompt=False).endswith("[assistant] Good")
    assert ours.chat_template(True) == ours.tokenizer.chat_template


def test_a_template_that_takes_no_system_message_gets_none_and_says_so(
    ours: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ours.tokenizer, "chat_template", CHAT.replace("refuse", "true"))
    assert ours.apply_chat_template(MESSAGES) == "[user] Hello\n[assistant]"
    assert "no system message" in capsys.readouterr().err


def test_a_tokenizer_without_a_template_is_refused_with_the_remedy(ours: Any) -> None:
    with pytest.raises(UserError, match="has no chat template"):
        ours.apply_chat_template(MESSAGES)


# ---- the name `smallm` ---------------------------------------------------------------------------------------------


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_importing_torch_after_lm_eval_registers_smallm_and_keeps_lm_evals_own_models() -> None:
    code = (
        "import lm_eval, torch; from lm_eval.api.registry import model_registry as r; print('hf' in r, 'smallm' in r)"
    )
    assert python(code) == "True True"


def test_without_lm_eval_the_plugin_imports_nothing_of_it() -> None:
    code = "import sys, torch; print([m for m in sys.modules if m.startswith(('lm_eval', 'smallm.'))])"
    assert python(code) == "['smallm.lm_eval_plugin']"


def test_importing_our_model_registers_it_where_torch_came_first() -> None:
    code = "import torch, smallm.evaluate.harness; from lm_eval.api.registry import get_model; "
    code += "print(get_model('smallm').__name__)"
    assert python(code) == "SmallmLM"


def test_the_plugin_never_breaks_the_import_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType

    from smallm.lm_eval_plugin import register

    monkeypatch.setitem(sys.modules, "lm_eval", ModuleType("lm_eval"))  # not the one we know
    monkeypatch.setitem(sys.modules, "lm_eval.models", None)
    register()

"""Models to look into: ours and Transformers', plain, grouped, capped, tuned; one thread, since they are tiny."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_hf import make_directory, make_tokenizer

from smallm.core.config import ModelConfig
from smallm.core.files import write_json
from smallm.evaluate.local_models import Options
from smallm.explain.explain import Explanation, explain
from smallm.explain.subject import Subject, open_subject
from smallm.finetune.shrunken import make_phi3
from smallm.model.decoder import Decoder
from smallm.model.families import save_pretrained
from smallm.model.sampling import SamplingConfig

PROMPT = "the cat sat on the mat; a dog ran"
OURS: dict[str, dict[str, Any]] = {
    "ours": {"preset": "qwen3", "kv_heads": 2},
    "ours with learned positions": {"preset": "gpt2"},
    "ours without positions": {"preset": "llama", "position": "none", "soft_cap": 6.0},
    "ours of 2017": {"preset": "transformer"},  # sinusoids, norms after the sublayers
    "ours side by side": {"preset": "phi"},  # a parallel block, a part of each head rotated
    "ours with a window": {"preset": "mistral", "window": 5},
    "ours with shared layers": {"preset": "mobilellm", "layers": 4},
}
KINDS = (*OURS, "gpt_neox", "gemma2", "phi3", "bloom", "adapter")


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_ours(directory: Path, seed: int = 0, **switches: Any) -> Path:
    """A decoder of random weights far from uniform predictions, with the tokenizer of the tests."""
    values: dict[str, Any] = {"layers": 3, "width": 64, "heads": 4, "context": 64, "vocab_size": 384}
    model = Decoder(ModelConfig(**{**values, **switches}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            mean = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(mean + torch.randn(parameter.shape, generator=generator) * 0.15)
    save_pretrained(model, directory)
    make_tokenizer(directory)
    write_json(directory / "smallm.json", {"from_scratch": True})
    return directory


def make_adapter(directory: Path, *, template: str | None = None) -> Path:
    """A LoRA of random matrices on a small Llama; `template`: of its base's tokenizer."""
    from peft import LoraConfig, get_peft_model

    base = directory / "base"
    model = make_directory(base, template=template)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    tuned.peft_config["default"].base_model_name_or_path = str(base)  # type: ignore[union-attr]
    tuned.save_pretrained(str(directory / "tuned"))
    return directory / "tuned"


def make_bloom(directory: Path) -> Path:
    from transformers import BloomConfig, BloomForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BloomForCausalLM(BloomConfig(vocab_size=384, hidden_size=32, n_layer=2, n_head=4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.1)
    model.save_pretrained(directory)
    make_tokenizer(directory)
    return directory


def make_kind(directory: Path, kind: str) -> Path:
    if kind in OURS:
        return make_ours(directory, **OURS[kind])
    if kind == "adapter":
        return make_adapter(directory)
    if kind == "bloom":
        return make_bloom(directory)
    if kind == "phi3":
        make_phi3(directory, hidden_act="gelu")  # which our decoder refuses: it goes through Transformers
    else:
        make_directory(directory, kind)
    return directory


@pytest.fixture(scope="session")
def subject_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    """subject_of(kind): one of KINDS, made and loaded once."""
    made: dict[str, Subject] = {}

    def get(kind: str) -> Subject:
        if kind not in made:
            made[kind] = open_subject(str(make_kind(tmp_path_factory.mktemp("model"), kind)), Options())
        return made[kind]

    return get


@pytest.fixture(params=KINDS)
def subject(request: pytest.FixtureRequest, subject_of: Callable[[str], Subject]) -> Subject:
    return subject_of(request.param)


@pytest.fixture(scope="session")
def explained(subject_of: Callable[[str], Subject]) -> Callable[..., Explanation]:
    """explained(kind): everything, heads removed and ten steps followed."""
    made: dict[str, Explanation] = {}

    def get(kind: str = "ours") -> Explanation:
        if kind not in made:
            sampling = SamplingConfig(max_new_tokens=10, top_k=40, top_p=0.9, seed=2)
            made[kind] = explain(subject_of(kind), PROMPT, heads=True, sampling=sampling)
        return made[kind]

    return get

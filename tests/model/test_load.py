"""Laws of MODEL: a name means one directory, and a model never talks through another's tokenizer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from model.tiny import decoder

from smallm.core.errors import UserError
from smallm.core.files import sha256_file, write_json
from smallm.model.families import save_pretrained
from smallm.model.generate import SamplingConfig, generate_text
from smallm.model.load import load_model, resolve_model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a finished base model and its tokenizer."""
    from smallm.tokenizer.bpe import train_bpe
    from smallm.tokenizer.directory import write_directory

    base = tmp_path / "runs" / "mine" / "base"
    save_pretrained(decoder(vocab_size=384), base)
    write_directory(base, train_bpe(iter(["the cat sat on the mat"] * 20), 300), kind="bpe")
    facts = {
        "tokenizer_sha256": sha256_file(base / "tokenizer.json"),
        "weights_sha256": sha256_file(base / "model.safetensors"),
    }
    write_json(base / "smallm.json", facts)
    (base.parent / "recipe.yaml").write_text("name: mine\n")
    return base.parent


def test_a_run_means_its_newest_model(run: Path) -> None:
    assert resolve_model(run) == resolve_model(run / "base") == run / "base"
    save_pretrained(decoder(vocab_size=384), run / "tuned" / "german")
    os.utime(run / "base", (1, 1))
    assert resolve_model(str(run)) == run / "tuned" / "german"
    write_json(run / "base" / "stage.json", {})
    os.utime(run / "tuned" / "german", (1, 1))
    assert resolve_model(run) == run / "base"


def test_a_loaded_model_talks(run: Path) -> None:
    loaded = load_model(run)
    assert loaded.path == run / "base"
    assert loaded.config == loaded.model.config
    assert not loaded.model.training
    assert "".join(generate_text(loaded, "the", SamplingConfig(max_new_tokens=10)))
    loaded.verify()


def test_a_tokenizer_of_another_run_is_refused(run: Path) -> None:
    path = run / "base" / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(UserError, match="They come from different runs"):
        load_model(run)


def test_altered_weights_are_found_when_asked(run: Path) -> None:
    save_pretrained(decoder(seed=9, vocab_size=384), run / "base")
    loaded = load_model(run)
    with pytest.raises(UserError, match="changed after they were saved"):
        loaded.verify()


def test_a_vocabulary_smaller_than_the_tokenizer_is_refused(run: Path) -> None:
    save_pretrained(decoder(vocab_size=96), run / "base")
    with pytest.raises(UserError, match="vocabulary is 96 but its tokenizer has"):
        load_model(run)


def test_a_model_without_a_tokenizer_loads(tmp_path: Path) -> None:
    save_pretrained(decoder(), tmp_path)
    assert load_model(tmp_path).tokenizer is None


def test_names_that_mean_nothing_say_what_they_could_mean(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent.parent)
    with pytest.raises(UserError, match=r"runs/mne: there is no such directory. Did you mean runs/mine\?"):
        resolve_model("runs/mne")
    with pytest.raises(UserError, match=r"\./nowhere"):
        resolve_model("./nowhere")
    with pytest.raises(UserError, match="a file"):
        resolve_model("runs/mine/recipe.yaml")
    (run / "base" / "config.json").unlink()
    with pytest.raises(UserError, match="no finished model yet"):
        resolve_model("runs/mine")
    (run / "base" / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="an adapter"):
        resolve_model("runs/mine/base")


def test_a_directory_that_is_no_run_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(UserError, match=r"no model there.*It has notes"):
        resolve_model(tmp_path)


def test_a_hub_that_cannot_be_reached_is_said_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, a name that is in no cache."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="Hub could not be reached"):
        resolve_model("smallm-tests/there-is-no-such-model")
    with pytest.raises(UserError, match="neither a directory here nor a name"):
        resolve_model("what is this")

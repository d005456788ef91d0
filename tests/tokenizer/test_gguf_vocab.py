"""llama.cpp reads our BPE vocabulary and gives our ids."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from smallm.core.errors import UserError
from smallm.core.run import Run
from smallm.tokenizer.bpe import byte_characters, empty_bpe
from smallm.tokenizer.directory import write_directory
from smallm.tokenizer.gguf_vocab import write_vocab_gguf
from smallm.tokenizer.specials import RESERVED


def load(path: Path):
    """The file in llama.cpp, vocabulary only."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="needs llama-cpp-python, of the extra `test`")
    return llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


def ours(directory: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def every_pair(directory: Path) -> Path:
    """A vocabulary in which any two bytes merge, so that ids show where pre-tokens end, trained or not."""
    pieces = byte_characters()
    merges = [(a, b) for a in pieces for b in pieces]
    vocabulary = {s: i for i, s in enumerate((*RESERVED, *pieces, *(a + b for a, b in merges)))}
    tokenizer = empty_bpe()
    tokenizer.model = models.BPE(vocabulary, merges)  # type: ignore[assignment]
    tokenizer.add_special_tokens(list(RESERVED))
    directory.mkdir()
    write_directory(directory, tokenizer, kind="bpe")
    return directory


@pytest.fixture(scope="module", params=["trained here", "every pair of bytes"])
def both(request: pytest.FixtureRequest, runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory):
    """The same vocabulary in llama.cpp and here, and its name."""
    place = tmp_path_factory.mktemp("gguf")
    trained = request.param == "trained here"
    directory = runs["bpe"].path / "tokenizer" if trained else every_pair(place / "pairs")
    llama = load(write_vocab_gguf(directory, place / "vocab.gguf"))
    yield llama, ours(directory), request.param
    llama.close()


def test_llama_cpp_gives_our_ids(both, nasty: list[str]):
    llama, tokenizer, _ = both
    letters = "".join(nasty[:16]).replace("\u017f", "") + "'sStTrReElLdDmMvV\r\n\t  "
    draw = random.Random(0)
    fuzz = ["".join(draw.choices(letters, k=draw.randint(1, 20))) for _ in range(2000)]
    points = [chr(c) for c in range(1, 0x2FA1E) if unicodedata.category(chr(c)) not in ("Cs", "Cn") and c != 0x17F]
    every = [f"a{c}b {c}a 1{c}1 {c} {c}{c}\n{c}!{c}{c}{c}" for c in points[::11]]
    for text in [t.replace("\u017f", "s") for t in nasty] + fuzz + every:
        text = unicodedata.normalize("NFC", text)  # llama.cpp does not normalise
        got = llama.tokenize(text.encode(), add_bos=False, special=False)
        assert got == tokenizer.encode(text).ids, repr(text[:80])


def test_the_known_difference_from_llama_cpp_still_stands(both):
    """A long s after an apostrophe is a contraction to the engine of tokenizers alone."""
    llama, tokenizer, vocabulary = both
    text = "x'\u017fx"
    equal = llama.tokenize(text.encode(), add_bos=False, special=False) == tokenizer.encode(text).ids
    assert equal == (vocabulary == "trained here")  # it takes a merge across that boundary to show


def test_llama_cpp_knows_our_specials_and_opens_with_bos(runs: dict[str, Run], tmp_path: Path):
    directory = runs["bpe"].path / "tokenizer"
    llama = load(write_vocab_gguf(directory, tmp_path / "vocab.gguf"))
    try:
        assert llama.n_vocab() == 1000
        assert (llama.token_bos(), llama.token_eos()) == (0, 0)
        text = "<|user|>\nHi<|end|>\n"
        expected = Tokenizer.from_file(str(directory / "tokenizer.json")).encode(text).ids
        assert llama.tokenize(text.encode(), add_bos=True, special=True) == [0, *expected]
        assert llama.detokenize(expected[1:-2]) == b"\nHi"
    finally:
        llama.close()


@pytest.mark.parametrize("kind", ["unigram", "char"])
def test_other_kinds_are_refused(kind: str, runs: dict[str, Run], tmp_path: Path):
    with pytest.raises(UserError, match=r"tokenizer\.kind: bpe"):
        write_vocab_gguf(runs[kind].path / "tokenizer", tmp_path / "vocab.gguf")

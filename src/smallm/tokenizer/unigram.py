"""Unigram by sentencepiece, and the same model as a `tokenizers` file with equal ids.

No normalisation, no dummy prefix, whitespace kept, bytes as the fallback: decoding gives back
what was encoded. One exception is sentencepiece's own: it writes a space as U+2581, so a real
U+2581 in the text decodes as a space there. The tokenizers file holds pieces with real spaces
instead, so U+2581 falls back to its bytes and nothing is lost; on every other text the ids
are equal (tested), but for the order of the same pieces in a run of one character (">" ">>" or
">>" ">"): the two tie, and sentencepiece's float32 sums break the tie otherwise.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from smallm.core.errors import UserError
from smallm.tokenizer.specials import BOS_ID, RESERVED

SPACE = "\u2581"
# Pieces never run across the start of a run of spaces (split_by_whitespace), so cutting there
# changes no id; it makes encoding linear, cacheable, and independent of float32 sums over a book.
WORD_PATTERN = r" *[^ ]+| +"
# The names of specials and of bytes are pieces of the vocabulary; as text they must be spelled
# out, so their letters are always in it and their scores below any spelling of theirs.
SPELLED = "".join(sorted(set("".join(RESERVED)) | set("<0x123456789ABCDEF>")))
NEVER = -1000.0
THREADS = 4  # fixed: sentencepiece sums expectations per thread, so the count shapes the result


def train_unigram(texts: Iterator[str], vocab_size: int) -> bytes:
    """The sentencepiece model (protobuf) with exactly `vocab_size` pieces.

    Raises UserError when the text gives fewer pieces, or needs more.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(  # type: ignore[attr-defined]
            sentence_iterator=texts,
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            normalization_rule_name="identity",
            byte_fallback=True,
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            character_coverage=0.9995,
            required_chars=SPELLED,
            bos_id=BOS_ID,
            bos_piece=RESERVED[0],
            pad_id=1,
            pad_piece=RESERVED[1],
            eos_id=-1,
            control_symbols=list(RESERVED[2:31]),
            unk_id=31,
            unk_piece=RESERVED[31],
            max_sentence_length=1 << 20,
            num_threads=THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explained(error, vocab_size) from None
    return model.getvalue()


def _explained(error: RuntimeError, vocab_size: int) -> Exception:
    """sentencepiece's two complaints about the size, with the number to set."""
    message = str(error)
    if found := re.search(r"value <= (\d+)", message):
        return UserError(
            f"tokenizer.vocab_size: {vocab_size}, but this text supports only {found[1]} tokens (unigram). "
            f"Set tokenizer.vocab_size to at most {found[1]}, or give more text."
        )
    if found := re.search(r"\d+ vs (\d+)", message):
        return UserError(
            f"tokenizer.vocab_size: {vocab_size} is too small: 32 specials, 256 bytes and the text's characters "
            f"are {found[1]} tokens already (unigram). Set tokenizer.vocab_size to more than {found[1]}."
        )
    if "Internal" in message or "sentences_" in message:
        return UserError("tokenizer: the train split has too little text for a unigram vocabulary. Give more text.")
    return error


def to_tokenizers(model_proto: bytes) -> Tokenizer:
    """The same model for `tokenizers`, equal ids on every text without U+2581."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model_proto)  # type: ignore[call-arg]
    size = processor.get_piece_size()
    special = [processor.is_control(i) or processor.is_byte(i) or processor.is_unknown(i) for i in range(size)]
    lowest = min(processor.get_score(i) for i in range(size) if not special[i])
    vocabulary = [
        (processor.id_to_piece(i).replace(SPACE, " "), lowest + NEVER if special[i] else processor.get_score(i))
        for i in range(size)
    ]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=processor.unk_id(), byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated")  # type: ignore[assignment]
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])  # type: ignore[assignment]
    tokenizer.add_special_tokens(list(RESERVED))
    return tokenizer

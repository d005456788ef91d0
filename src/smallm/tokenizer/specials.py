"""The reserved special tokens: 32 names at ids 0 to 31 of every vocabulary trained here.

They are fixed before training so that fine-tuning can add chat turns and tools without
resizing the embedding. A text that happens to contain one of these names is plain text:
only code that writes ids puts a special into a stream.
"""

from __future__ import annotations

BOS = "<|endoftext|>"  # opens and ends a document: BOS, EOS and separator in one
PAD = "<|pad|>"
USER, ASSISTANT, SYSTEM, END = "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
UNKNOWN = "<|unk|>"  # the character-level kind only: bytes cover everything in the other two

NAMED = (BOS, PAD, USER, ASSISTANT, SYSTEM, END)
RESERVED = (*NAMED, *(f"<|reserved_{i}|>" for i in range(len(NAMED), 32)))
CHAR_RESERVED = (BOS, PAD, UNKNOWN)
BOS_ID = 0

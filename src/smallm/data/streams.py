"""Bytes of a file as lines or decoded text, whatever its compression, in bounded memory.

UTF-8 only: what is not is an error with the file and the byte offset (of the decompressed
bytes). A damaged archive and a binary file are the user's errors too. Line ends become \\n in text
(records keep theirs) and a byte order mark is dropped.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from smallm.core.errors import UserError

CHUNK = 1 << 20


def open_bytes(path: Path) -> IO[bytes]:
    """A buffered stream of the (decompressed) bytes; concatenated gzip and zstd frames are one stream."""
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    if compression is None:
        return open(path, "rb", buffering=CHUNK)
    import pyarrow  # its decompressors tell a cut file from a whole one (zstandard's reader does not)

    return io.BufferedReader(pyarrow.input_stream(str(path), compression=compression), CHUNK)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system or a decompressor says about `path` into a UserError."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read: {reason}. The file may be cut or damaged: copy it again.") from error


def text_chunks(path: Path) -> Iterator[str]:
    """The file's text in pieces of about 1 MB, line ends as \\n.

    Raises UserError with the byte offset at the first byte that is not UTF-8, or at a NUL.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("strict"), translate=True)
    done = 0
    with readable(path), open_bytes(path) as stream:
        while True:
            block = stream.read(CHUNK)
            pending = len(decoder.getstate()[0])
            if done == 0:
                refuse_utf16(path, block)
                block_text = block.removeprefix(codecs.BOM_UTF8)
            else:
                block_text = block
            if b"\0" in block:
                raise binary_error(path, done + block.index(b"\0"))
            try:
                text = decoder.decode(block_text, final=not block)
            except UnicodeDecodeError as error:
                skipped_mark = len(block) - len(block_text)
                raise encoding_error(path, done + skipped_mark - pending + error.start, error) from None
            done += len(block)
            if text:
                yield text
            if not block:
                return


def lines(path: Path) -> Iterator[bytes]:
    """The file's lines as bytes, the line ends kept; a byte order mark is dropped."""
    with readable(path), open_bytes(path) as stream:
        first = stream.readline()
        refuse_utf16(path, first)
        if b"\0" in first:
            raise binary_error(path, first.index(b"\0"))
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from stream


def refuse_utf16(path: Path, start: bytes) -> None:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(
            f"{path}: byte 0: UTF-16 text (byte order mark {start[:2].hex(' ')}); smallm reads UTF-8. "
            f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}"
        )


def binary_error(path: Path, offset: int) -> UserError:
    return UserError(f"{path}: byte {offset} is NUL: a binary file, not text. Remove it from the source.")


def encoding_error(path: Path, offset: int, error: UnicodeDecodeError) -> UserError:
    """The message for a byte that is not UTF-8, with the likely encoding as remedy."""
    byte = error.object[error.start]
    return UserError(
        f"{path}: byte {offset} (0x{byte:02x}) is not UTF-8 ({error.reason}). If the file is Windows-1252, convert "
        f"it: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}"
    )

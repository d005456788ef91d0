"""Laws of token shards: what was written is read, anything torn is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.core.tokenfile import HEADER_BYTES, INDEX_DTYPE, header, open_shard, open_split
from smallm.core.tokenfile import write_shard as write

HASH = "0123456789abcdef" * 4


def write_shard(path: Path, documents: list[list[int]], itemsize: int = 2) -> Path:
    ids = np.array([t for d in documents for t in d], dtype=f"<u{itemsize}")
    path.write_bytes(header(len(ids), itemsize, HASH) + ids.tobytes())
    index = np.zeros(len(documents), INDEX_DTYPE)
    index["length"] = [len(d) for d in documents]
    index["start"] = np.cumsum(index["length"]) - index["length"]
    path.with_suffix(".idx").write_bytes(index.tobytes())
    return path


@given(st.lists(st.lists(st.integers(0, 65535), min_size=1, max_size=5), max_size=5), st.sampled_from([2, 4]))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], size: int
) -> None:
    path = write_shard(tmp_path_factory.mktemp("shard") / "train-00000.bin", documents, size)
    shard = open_shard(path)
    found = [shard.ids[r["start"] : r["start"] + r["length"]].tolist() for r in shard.index]
    assert found == documents
    assert shard.tokenizer_sha256 == HASH


def test_the_header_is_256_bytes_and_the_shards_of_a_split_are_in_order(tmp_path: Path) -> None:
    assert len(header(7, 2, HASH)) == HEADER_BYTES
    for i in (1, 0):
        write_shard(tmp_path / f"train-0000{i}.bin", [[i]])
    write_shard(tmp_path / "validation-00000.bin", [[9]])
    assert [s.ids.tolist() for s in open_split(tmp_path, "train")] == [[0], [1]]
    assert open_split(tmp_path, "nothing") == []


def break_magic(path: Path) -> None:
    path.write_bytes(b"x" + path.read_bytes()[1:])


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def tear_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def another_version(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8] = 9
    path.write_bytes(content)


def tear_index(path: Path) -> None:
    tear(path.with_suffix(".idx"))


def drop_document(path: Path) -> None:
    index = path.with_suffix(".idx")
    index.write_bytes(index.read_bytes()[32:])


def shift_document(path: Path) -> None:
    index = np.fromfile(path.with_suffix(".idx"), INDEX_DTYPE)
    index["start"][1] += 1
    path.with_suffix(".idx").write_bytes(index.tobytes())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (break_magic, "not a smallm token file"),
        (tear, "but its header promises 3 tokens"),
        (tear_header, "not a smallm token file"),
        (another_version, "version 9"),
        (tear_index, "do not tile"),
        (drop_document, "do not tile"),
        (shift_document, "do not tile"),
        (lambda path: path.unlink(), "not there"),
        (lambda path: path.with_suffix(".idx").unlink(), "train-00000.idx: not there"),
    ],
)
def test_a_torn_shard_is_refused_by_name(tmp_path: Path, damage: object, said: str) -> None:
    path = write_shard(tmp_path / "train-00000.bin", [[1], [2, 3]])
    damage(path)  # type: ignore[operator]
    with pytest.raises(UserError, match="train-00000") as caught:
        open_shard(path)
    assert said in str(caught.value)


ROW = st.lists(st.tuples(st.integers(0, 65535), st.booleans()), min_size=1, max_size=5)


@given(st.lists(ROW, max_size=4), st.sampled_from(["<u2", "<u4"]), st.booleans())
def test_rows_and_masks_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[int, bool]]], dtype: str, masked: bool
) -> None:
    path = tmp_path_factory.mktemp("shard") / "train-0-00000.bin"
    names = [bytes([i]) * 16 for i in range(len(rows))]
    ids = [np.array([i for i, _ in row], dtype) for row in rows]
    masks = [np.array([m for _, m in row]) for row in rows] if masked else None
    write(path, ids, names, [3 * len(row) for row in rows], tokenizer_sha256=HASH, masks=masks)
    shard = open_shard(path)
    assert [shard.ids[r["start"] : r["start"] + r["length"]].tolist() for r in shard.index] == [x.tolist() for x in ids]
    assert [r["id"].tobytes() for r in shard.index] == names
    assert shard.index["bytes"].tolist() == [3 * len(row) for row in rows]
    assert (shard.mask is None) != masked
    if shard.mask is not None:
        assert shard.mask.tolist() == [int(m) for row in rows for _, m in row]
        assert open_shard(path, masked=False).mask is None


def test_a_mask_that_is_torn_or_missing_is_refused(tmp_path: Path) -> None:
    path, row = tmp_path / "train-00000.bin", np.array([1, 2, 3], "<u2")
    write(path, [row], [b"x" * 16], [3], tokenizer_sha256=HASH)
    with pytest.raises(UserError, match=r"train-00000\.mask: not there"):
        open_shard(path, masked=True)
    path.with_suffix(".mask").write_bytes(b"\1\1")
    with pytest.raises(UserError, match="2 bytes, but there are 3 tokens"):
        open_split(tmp_path, "train")
    with pytest.raises(ValueError, match="not as long as its row"):
        write(path, [row], [b"x" * 16], [3], tokenizer_sha256=HASH, masks=[np.array([True])])

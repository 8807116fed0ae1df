"""Files that stand for more than they hold: refused before anything is unpacked or allocated."""

import gzip
import json
import tracemalloc
import zlib

import pytest

from prior3d.limits import parse_json, read_bytes, read_json, unpack_gzip


def test_a_file_that_is_too_large(tmp_path):
    (tmp_path / "a").write_bytes(bytes(100))
    assert read_bytes(tmp_path / "a", 100) == bytes(100)
    with pytest.raises(ValueError, match="more than 0 MB"):
        read_bytes(tmp_path / "a", 99)


def test_what_unpacks_to_too_much(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(bytes(10_000_000)))
    assert len(unpack_gzip(tmp_path / "a")) == 10_000_000
    with pytest.raises(ValueError, match="unpacked it has more than 9 MB"):
        unpack_gzip(tmp_path / "a", 9_999_999)


@pytest.mark.parametrize("read", (read_bytes, unpack_gzip))
def test_a_small_file_takes_little_memory_whatever_the_limit(tmp_path, read):
    """A limit of 2 GB took 2 GB before the first byte was read."""
    content = bytes(3_000_000)
    (tmp_path / "a").write_bytes(content if read is read_bytes else gzip.compress(content))
    tracemalloc.start()
    try:
        assert read(tmp_path / "a", 2_000_000_000) == content
        assert len(content) < tracemalloc.get_traced_memory()[1] < 3 * len(content)
    finally:
        tracemalloc.stop()


def test_a_bomb_takes_no_more_memory_than_its_limit(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(bytes(100_000_000), 9))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 5 MB"):
            unpack_gzip(tmp_path / "a", 5_000_000)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("at", range(10, 60, 3))
def test_damaged_gzip(tmp_path, at):
    content = bytearray(gzip.compress(json.dumps(list(range(200))).encode()))
    content[at] ^= 8
    (tmp_path / "a").write_bytes(content)
    with pytest.raises((ValueError, OSError)) as error:
        unpack_gzip(tmp_path / "a")
    assert not isinstance(error.value, zlib.error)
    (tmp_path / "a").write_bytes(content[:at])
    with pytest.raises(ValueError, match="cut off"):
        unpack_gzip(tmp_path / "a")


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "[" * 9999])
def test_nested_json(text):
    with pytest.raises(ValueError, match="nested too deep"):
        parse_json(text)


@pytest.mark.parametrize(("text", "size"), [("[%s]", "[],"), ("[%s]", "{},"), ("[%s]", "0,")])
def test_json_that_takes_much_memory(text, size):
    with pytest.raises(ValueError, match="would take more than 1 MB of memory"):
        parse_json(text % (size * 30_000 + "0"), 1_000_000)


def test_what_is_no_json(tmp_path):
    for content in (b"", b"{", b"\xff\xfe", b"1" * 5000, b"nul"):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(ValueError):
            read_json(tmp_path / "a")
    (tmp_path / "a").write_text('{"a": [1, 2.5, null]}')
    assert read_json(tmp_path / "a") == {"a": [1, 2.5, None]}

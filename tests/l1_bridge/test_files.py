"""A file is whole, the new one or the old one, whatever ends its writer."""

from pathlib import Path

import pytest

from l1_bridge.files import keep_bound, read_bound, replace_file


@pytest.mark.parametrize("is_synced", [False, True])
def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path, is_synced: bool) -> None:
    path = tmp_path / "kept.msgpack"
    for content in (b"old" * 1_000, b"new"):
        replace_file(path, content, is_synced=is_synced)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.msgpack"
    replace_file(path, b"old")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space") as refused:
        replace_file(path, b"new", is_synced=True)
    assert path.read_bytes() == b"old"
    # The system names no file there, and whoever reads of it has to know which.
    assert refused.value.filename == str(path)


def test_what_is_kept_for_one_owner_is_read_by_him_alone_and_whole(tmp_path: Path) -> None:
    path, owner = tmp_path / "kept.msgpack", b"\x01" * 32
    assert read_bound(path, owner) is None
    keep_bound(path, owner, b"content", is_synced=True)
    assert read_bound(path, owner) == b"content"
    assert read_bound(path, b"\x02" * 32) is None
    kept = path.read_bytes()
    for place in range(len(kept)):
        for damaged in (kept[:place], kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :]):
            path.write_bytes(damaged)
            assert read_bound(path, owner) is None
    path.unlink()
    path.mkdir()
    assert read_bound(path, owner) is None

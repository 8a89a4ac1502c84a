"""A file is whole, the new one or the old one, whatever ends its writer."""

from pathlib import Path

import pytest

from l1_bridge.files import replace_file


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
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new", is_synced=True)
    assert path.read_bytes() == b"old"

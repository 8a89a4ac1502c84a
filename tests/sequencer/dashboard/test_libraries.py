"""Libraries are gathered whole or not at all."""

from pathlib import Path

import pytest

from sequencer.dashboard.libraries import _FILES, SPECIFIERS, gather


def modules(directory: Path) -> Path:
    """A folder as npm leaves it."""
    for package, names in _FILES.items():
        for name in names:
            path = directory / "node_modules" / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"// {package} {name}\n")
    return directory / "node_modules"


def test_what_is_imported_by_name_is_gathered(tmp_path: Path) -> None:
    target = tmp_path / "libraries"
    target.mkdir()
    (target / "old.js").write_text("gone\n")
    found = {path.relative_to(target).as_posix() for path in gather(modules(tmp_path), target)}
    assert "old.js" not in found
    assert {path.suffix for path in target.rglob("*") if path.is_file()} <= {".js", ""}
    for place in SPECIFIERS.values():
        assert place in found or any(name.startswith(place) for name in found)


def test_a_missing_file_leaves_what_was_there(tmp_path: Path) -> None:
    target, source = tmp_path / "libraries", modules(tmp_path)
    before = gather(source, target)
    (source / "htm" / "LICENSE").unlink()
    with pytest.raises(FileNotFoundError, match="htm"):
        gather(source, target)
    assert sorted(path for path in target.rglob("*") if path.is_file()) == before

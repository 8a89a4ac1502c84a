"""A challenger whose files are damaged says so and rebuilds them from L1: nobody has to be there for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from prover.cli import commands
from prover.state.leveldb import LevelDbStore
from prover.state.store import StoreDamaged, StoreUnavailable
from tests.l1_bridge.l1_nodes import L1Node
from tests.prover.cli.conftest import Ended
from tests.prover.cli.test_main import command
from tests.prover.world import World, opened

pytestmark = [pytest.mark.trio, pytest.mark.stage(build=opened)]


def gone(path: Path) -> None:
    """A file that nobody finds any more."""
    path.unlink()


def cut(path: Path) -> None:
    """A file whose end was never written."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def flipped(path: Path) -> None:
    """A file of which one byte is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("pattern", ["*.ldb", "CURRENT", "MANIFEST-*"])
@pytest.mark.parametrize("damage", [gone, cut, flipped])
async def test_a_damaged_file_is_told_put_aside_and_rebuilt(
    node_world: World, node: L1Node, tmp_path: Path, quietly: Ended, pattern: str, damage: Callable[[Path], None]
) -> None:
    bridge = "0x" + node_world.bridge.address.hex()
    watching = command(node.url, bridge, tmp_path, "--watch")
    # The second start writes into a table what the first has logged.
    for _ in range(2):
        code, before, _ = await quietly(*watching)
        assert (code, before[-1]["held"]) == (0, True)
    # What lies there from an earlier damage makes place.
    (tmp_path / "replay.damaged").mkdir()
    damage(next((tmp_path / "replay").glob(pattern)))

    code, said, stderr = await quietly(*watching)
    assert (code, stderr) == (0, "")
    assert [line["code"] for line in said if line["event"] == "alarm"] == ["STORE_DAMAGED"]
    assert {name: said[-1][name] for name in ("held", "root", "valid_tip")} == {
        name: before[-1][name] for name in ("held", "root", "valid_tip")
    }
    assert any((tmp_path / "replay.damaged").iterdir())
    code, said, _ = await quietly(*watching)
    assert (code, [line["event"] for line in said]) == (0, ["started", "summary"])


async def test_off_a_damaged_file_ends_it_at_each_start(
    node_world: World, node: L1Node, tmp_path: Path, quietly: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = command(node.url, "0x" + node_world.bridge.address.hex(), tmp_path, "--watch")
    await quietly(*watching)
    gone(tmp_path / "replay" / "CURRENT")
    monkeypatch.setattr(commands, "_damage", lambda raised: None)
    for _ in range(2):
        code, _, stderr = await quietly(*watching)
        assert (code, "is damaged and must be rebuilt" in stderr) == (4, True)


async def test_rows_that_a_damaged_log_has_lost_are_rebuilt(
    node_world: World, node: L1Node, tmp_path: Path, quietly: Ended
) -> None:
    watching = command(node.url, "0x" + node_world.bridge.address.hex(), tmp_path, "--watch")
    _, before, _ = await quietly(*watching)
    store = LevelDbStore(tmp_path / "replay")
    leaf, _ = list(store.iterate(b"l"))[-1]
    store.write({leaf: None}, sync=True)
    store.close()
    code, said, _ = await quietly(*watching)
    assert (code, said[-1]["root"]) == (0, before[-1]["root"])
    assert [line["code"] for line in said if line["event"] == "alarm"] == ["STORE_DAMAGED"]


async def test_what_cannot_be_put_aside_ends_it(
    node_world: World, node: L1Node, tmp_path: Path, quietly: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = command(node.url, "0x" + node_world.bridge.address.hex(), tmp_path, "--watch")
    await quietly(*watching)
    gone(tmp_path / "replay" / "CURRENT")

    def refused(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refused)
    code, _, stderr = await quietly(*watching)
    assert (code, "cannot be put aside: Permission denied" in stderr) == (4, True)


async def test_only_damage_is_put_aside() -> None:
    damage, other = StoreDamaged("a block"), StoreUnavailable("the disk is full")
    assert commands._damage(damage) is damage
    assert commands._damage(BaseExceptionGroup("", [ExceptionGroup("", [damage])])) is damage
    for raised in (other, KeyboardInterrupt(), ExceptionGroup("", [damage, other]), BaseExceptionGroup("", [other])):
        assert commands._damage(raised) is None

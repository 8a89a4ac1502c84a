"""An absence in logs is believed where the bridge's own storage at that block says the same, and nowhere else."""

from typing import Any, cast

import pytest

from l1_bridge.client.reading import L1Reader
from l1_bridge.codec.calls import BatchRecord, encode_call
from l1_bridge.contracts.artifact import bridge_artifact
from prover.history.absence import missing_batch, missing_entry

pytestmark = pytest.mark.trio
BRIDGE, HASH, OTHER = bytes(20), b"\x07" * 32, b"\x08" * 32


class Node:
    """A node that answers for one block."""

    def __init__(self, code: bytes = b"\x01", **answers: bytes) -> None:
        self._answers = {encode_call(name)[:4]: answer for name, answer in answers.items() if name != "queue_hash"}
        if "queue_hash" in answers:
            self._answers[encode_call("queue_hash", 0)[:4]] = answers["queue_hash"]
        self._code = code

    async def eth_call(self, to: bytes, data: bytes, block: int) -> bytes:
        """A view of the bridge."""
        assert (to, block) == (BRIDGE, 5)
        return self._answers[data[:4]]

    async def code(self, address: bytes, block: int) -> bytes:
        """What stands there."""
        assert (address, block) == (BRIDGE, 5)
        return self._code


def node(**given: Any) -> L1Reader:
    return cast(L1Reader, Node(**given))


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def record(number: int, batch_hash: bytes) -> bytes:
    fields = len(BatchRecord.__struct_fields__)
    names = list(BatchRecord.__struct_fields__)
    words = [word(0)] * fields
    words[names.index("number")], words[names.index("batch_hash")] = word(number), batch_hash
    assert len(bridge_artifact().encode_call("head")) == 4
    return b"".join(words)


@pytest.mark.parametrize(
    ("length", "queue_hash", "known", "missing"),
    [
        (2, HASH, (2, HASH), ""),
        (3, HASH, (2, HASH), "block 5: the bridge has 3 queue entries, by its logs 2"),
        (1, HASH, (2, HASH), ""),
        (2, OTHER, (2, HASH), "block 5: the bridge's queue has another hash than its logs give after 2 entries"),
    ],
)
async def test_a_queue_is_compared_by_count_and_hash(
    length: int, queue_hash: bytes, known: tuple[int, bytes], missing: str
) -> None:
    assert await missing_entry(node(queue_length=word(length), queue_hash=queue_hash), BRIDGE, 5, known) == missing


@pytest.mark.parametrize(
    ("head", "tip", "is_missing"),
    [
        (record(4, HASH), (4, HASH), False),
        (record(4, HASH), (4, None), False),
        (record(4, HASH), (3, HASH), True),
        (record(4, HASH), (5, HASH), True),
        (record(4, OTHER), (4, HASH), True),
        (b"\x01", (4, HASH), True),
    ],
)
async def test_batches_are_compared_by_number_and_hash(
    head: bytes, tip: tuple[int, bytes | None], is_missing: bool
) -> None:
    assert bool(await missing_batch(node(head=head), BRIDGE, 5, tip)) is is_missing


@pytest.mark.parametrize("code", [b"", b"\x01"])
async def test_a_bridge_that_does_not_stand_yet_lacks_nothing(code: bytes) -> None:
    silent = node(head=b"", queue_length=b"", code=code)
    assert bool(await missing_batch(silent, BRIDGE, 5, (0, None))) is bool(code)
    assert bool(await missing_entry(silent, BRIDGE, 5, (0, bytes(32)))) is bool(code)

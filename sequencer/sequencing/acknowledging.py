"""What is acknowledged is promised: one signature over all that a group took, made when somebody asks for it."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Final, TypeAlias

from prover.signing.receipts import (
    Acknowledgement,
    acknowledged_digest,
    is_soft,
    levels,
    path_of,
)
from prover.signing.signed import SignedOperation
from prover.stf import codes
from sequencer.engine.effects import Processed

# Acknowledgements that are kept until their callers are answered, who are awake already: several groups of the largest.
_KEPT: Final = 8_192

Key: TypeAlias = tuple[int, int, int, int]


class Group:
    """What was made durable together. Hashed and signed once, and only if an answer needs it."""

    def __init__(self, members: list[Acknowledgement]) -> None:
        self.members = members
        self._signature = b""

    @cached_property
    def tree(self) -> list[list[bytes]]:
        """Levels of hashes, the root last."""
        return levels([member.leaf for member in self.members])

    def path(self, place: int) -> list[bytes]:
        """Siblings up to the root."""
        return path_of(self.tree, place)

    def signature(self, domain: bytes, sign: Callable[[bytes], bytes]) -> bytes:
        """64 bytes, of the key that posts."""
        if not self._signature:
            (root,) = self.tree[-1]
            self._signature = sign(acknowledged_digest(domain, root))
        return self._signature


class Acknowledgements:
    """The newest groups by what they took."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Key, tuple[Group, int]] = OrderedDict()

    def note(self, taken: Iterable[tuple[SignedOperation, Processed, int]]) -> None:
        """A group that is durable: operations, what came of them, and when. Costs no hash.

        A soft cancel has a receipt of its own; what came again was acknowledged before.
        """
        members = [
            Acknowledgement(
                signed.operation[0],
                signed.message.account,
                signed.message.slot,
                signed.message.sequence,
                outcome.filled,
                time_ms,
            )
            for signed, outcome, time_ms in taken
            if outcome.code == codes.OK and outcome.changed and not is_soft(signed.operation)
        ]
        group = Group(members)
        for place, member in enumerate(members):
            self._groups[member.tag, member.account, member.slot, member.sequence] = (group, place)
        while len(self._groups) > _KEPT:
            self._groups.popitem(last=False)

    def of(self, signed: SignedOperation) -> tuple[Group, int] | None:
        """The group that took an operation, and its place there; None where it promised nothing of it."""
        message = signed.message
        return self._groups.get((signed.operation[0], message.account, message.slot, message.sequence))

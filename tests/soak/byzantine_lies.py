"""Every way in which a batch that the bridge takes can be wrong: one class each, drawn at random on a scene.

A class gives drafts; which of them the bridge takes, and which say something false, is found out by whoever asks.
"""

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

from l1_bridge.codec.batch import MAX_CHUNK_BYTES, MAX_CHUNKS, Commitment, Withdrawal, WithdrawalTree
from prover.signing import operations, signatures
from prover.signing.recover import CURVE_ORDER
from prover.stf import constants, containers, encoding
from tests.prover import world
from tests.prover.world import DOLLAR, TRADERS
from tests.soak.byzantine_scene import Draft, Scene, Tamper, draft_of

WORD: Final = 2**256
HASHES: Final = ("tree_root", "withdrawals_root", "globals_hash")
QUEUE_WORDS: Final = ("queue_count", "queue_taken", "queue_hash")

Lie = Callable[[Scene], Draft]
Parts = list[list[bytes]]


def _replaced(draft: Draft, **words: Any) -> Draft:
    """Other words behind the last root."""
    commitment = msgspec.structs.replace(draft.commitment, **words)
    return Draft(draft.bodies, [*draft.roots[:-1], commitment.root()], commitment)


# Words behind the last root: the bridge opens them.


def another_hash(rng: Random, scene: Scene, draft: Draft, word: str) -> bytes:
    """Near the true one, far from it, or that of another state."""
    true: bytes = getattr(draft.commitment, word)
    flipped = bytearray(true)
    flipped[rng.randrange(32)] ^= 1 << rng.randrange(8)
    near = (int.from_bytes(true, "big") + rng.choice([1, -1])) % WORD
    parents: bytes = getattr(scene.parent_commitment, word)
    others = [getattr(draft.commitment, other) for other in (*HASHES, "queue_hash")]
    return rng.choice([bytes(flipped), near.to_bytes(32, "big"), parents, bytes(32), rng.randbytes(32), *others])


def another_number(rng: Random, true: int, parents: int, top: int = WORD) -> int:
    """A neighbour, the parent's, either end, or anything."""
    drawn = [true + 1, true - 1, parents, 0, top - 1, rng.randrange(top), true + rng.randrange(1, 2**40), true * 2]
    return rng.choice(drawn) % WORD


def _last_hash(word: str) -> Lie:
    def lie(scene: Scene) -> Draft:
        draft = scene.honest()
        return _replaced(draft, **{word: another_hash(scene.rng, scene, draft, word)})

    return lie


def _last_total(scene: Scene) -> Draft:
    draft, parents = scene.honest(), scene.parent_commitment.withdrawn_total_micros
    return _replaced(
        draft,
        withdrawn_total_micros=another_number(scene.rng, draft.commitment.withdrawn_total_micros, parents, 2**80),
    )


def _last_withdrawal(scene: Scene) -> Draft:
    """A whole tree of the liar's own."""
    draft, rng = scene.honest(), scene.rng
    loot = [Withdrawal(index, scene.sender, rng.randrange(1, 10**10)) for index in range(rng.randrange(1, 9))]
    total = scene.parent_commitment.withdrawn_total_micros + sum(each.amount_micros for each in loot)
    root = WithdrawalTree([each.leaf() for each in loot]).root
    return _replaced(draft, withdrawals_root=root, withdrawn_total_micros=total)


def _queue(draw: Callable[[Scene, Commitment], tuple[int, int]]) -> Lie:
    def lie(scene: Scene) -> Draft:
        draft = scene.honest()
        count, taken = draw(scene, draft.commitment)
        at = taken if scene.rng.random() < 0.9 else scene.rng.randrange(scene.queue_length + 1)
        hashed = scene.chain_after(min(max(at, 0), scene.queue_length))
        return _replaced(draft, queue_count=max(count, 0), queue_taken=max(taken, 0), queue_hash=hashed)

    return lie


def _any_queue(scene: Scene, true: Commitment) -> tuple[int, int]:
    first = scene.rng.randrange(scene.queue_length + 2)
    return first, scene.rng.randrange(first, scene.queue_length + 2)


def _time(draw: Callable[[Scene, int], int]) -> Lie:
    def lie(scene: Scene) -> Draft:
        draft = scene.honest()
        return _replaced(draft, timestamp_ms=draw(scene, draft.commitment.timestamp_ms) % WORD)

    return lie


def _in_time(scene: Scene) -> Draft:
    """A late batch that says of itself that it is none, and trades."""
    scene = copy.copy(scene)
    late, scene.parent = scene.is_late, "waiting"
    draft = scene.honest()
    if not late:
        return draft
    return _replaced(draft, timestamp_ms=draft.commitment.timestamp_ms - scene.rng.randrange(60_000, 3_600_000))


def _two_words(scene: Scene) -> Draft:
    draft, rng = scene.honest(), scene.rng
    first, second = rng.sample(HASHES, 2)
    words = {word: another_hash(rng, scene, draft, word) for word in (first, second)}
    return _replaced(draft, **words)


def _as_parent(scene: Scene) -> Draft:
    """Nothing happened, it says."""
    draft, parent = scene.honest(), scene.parent_commitment
    return _replaced(draft, **msgspec.structs.asdict(parent) | {"timestamp_ms": draft.commitment.timestamp_ms})


def _as_first_chunk(scene: Scene) -> Draft:
    """What came after the first chunk did not happen, it says."""
    bodies = scene.bodies(scene.parts())
    found = scene.replay(bodies)
    return draft_of(bodies, [*found[:-1], msgspec.structs.replace(found[0], timestamp_ms=found[-1].timestamp_ms)])


LAST: Final[dict[str, Lie]] = {
    **{f"last {word}": _last_hash(word) for word in HASHES},
    "last withdrawn_total": _last_total,
    "last withdrawals of the liar's own": _last_withdrawal,
    "last queue: anything": _queue(_any_queue),
    "last queue: a head that was never opened": _queue(lambda s, c: (c.queue_count - 1, c.queue_count)),
    "last queue: a head that is denied": _queue(lambda s, c: (c.queue_taken + 1, c.queue_taken + 1)),
    "last queue: all is done": _queue(lambda s, c: (s.queue_length, s.queue_length)),
    "last queue: all is taken": _queue(lambda s, c: (c.queue_count, s.queue_length)),
    "last queue: nothing was taken": _queue(
        lambda s, c: (s.parent_commitment.queue_count, s.parent_commitment.queue_taken)
    ),
    "last queue: one more": _queue(lambda s, c: (c.queue_count + 1, c.queue_taken + 1)),
    "last queue: one less": _queue(lambda s, c: (c.queue_count - 1, c.queue_taken - 1)),
    "last timestamp: a neighbour": _time(lambda s, t: t + s.rng.choice([-1, 1, -5_000])),
    "last timestamp: the earliest": _time(lambda s, t: s.rng.choice([0, 0, 1, -1])),
    "last timestamp: the latest": _time(lambda s, t: s.chain.evm.now * 1_000 - s.rng.choice([1, 2, 0, -1])),
    "last timestamp: between": _time(lambda s, t: s.rng.randrange(t)),
    "last timestamp: before it is late": _in_time,
    "last two words": _two_words,
    "last words of the parent": _as_parent,
    "last words of the first chunk": _as_first_chunk,
}


# Words and roots in the middle: nobody opens them at commit.


def _middle(word: str) -> Lie:
    def lie(scene: Scene) -> Draft:
        bodies, rng = scene.bodies(scene.parts()), scene.rng
        found, at = scene.replay(bodies), rng.randrange(len(bodies) - 1)
        draft = Draft(bodies, [], found[at])
        true = getattr(found[at], word)
        value: Any
        if isinstance(true, bytes):
            value = another_hash(rng, scene, draft, word)
        else:
            value = another_number(rng, true, getattr(scene.parent_commitment, word))
        found[at] = msgspec.structs.replace(found[at], **{word: value})
        return draft_of(bodies, found)

    return lie


def _middle_root(draw: Callable[[Scene, Draft, int], bytes]) -> Lie:
    def lie(scene: Scene) -> Draft:
        draft = scene.honest()
        at = scene.rng.randrange(len(draft.roots) - 1)
        draft.roots[at] = draw(scene, draft, at)
        return draft

    return lie


def _swapped_roots(scene: Scene) -> Draft:
    draft = scene.honest()
    draft.roots[:2] = draft.roots[1::-1]
    return draft


def _one_root(scene: Scene) -> Draft:
    draft = scene.honest()
    return Draft(draft.bodies, [draft.roots[-1]] * len(draft.roots), draft.commitment)


MIDDLE: Final[dict[str, Lie]] = {
    **{f"middle {word}": _middle(word) for word in Commitment.__struct_fields__},
    "middle root of nothing": _middle_root(lambda s, d, at: s.rng.choice([bytes(32), b"\xff" * 32])),
    "middle root at random": _middle_root(lambda s, d, at: s.rng.randbytes(32)),
    "middle root of the parent": _middle_root(lambda s, d, at: s.parent_commitment.root()),
    "middle root of the next chunk": _middle_root(lambda s, d, at: d.roots[at + 1]),
    "middle root is a hash of bytes": _middle_root(lambda s, d, at: world.keccak(d.bodies[at])),
    "middle roots change places": _swapped_roots,
    "middle roots are the last one": _one_root,
}


# Bytes beside honest roots.


def _body(change: Callable[[Random, bytes], bytes]) -> Lie:
    def lie(scene: Scene) -> Draft:
        draft = scene.honest()
        at = scene.rng.randrange(len(draft.bodies))
        draft.bodies[at] = change(scene.rng, draft.bodies[at])[:MAX_CHUNK_BYTES]
        return draft

    return lie


def _flipped(rng: Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.choice([1, 1, 2, 9])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: Random, body: bytes) -> bytes:
    return body[: rng.choice([len(body) - 1, len(body) - 32, rng.randrange(len(body))])]


def _overwritten(rng: Random, body: bytes) -> bytes:
    at = rng.randrange(len(body))
    size = rng.randrange(1, 200)
    return body[:at] + rng.randbytes(size) + body[at + size :]


def _timed(draw: Callable[[Random, int], int]) -> Lie:
    return _body(lambda rng, body: (draw(rng, int.from_bytes(body[:6], "big")) % 2**48).to_bytes(6, "big") + body[6:])


def _bodies(change: Callable[[Random, list[bytes]], list[bytes]]) -> Lie:
    """Bodies in another order or number; roots are cut, or the last one said again, to fit."""

    def lie(scene: Scene) -> Draft:
        draft = scene.honest()
        bodies = change(scene.rng, draft.bodies)[:MAX_CHUNKS]
        roots = [*draft.roots[:-1], *[draft.roots[-1]] * len(bodies)][: len(bodies) - 1]
        return Draft(bodies, [*roots, draft.roots[-1]], draft.commitment)

    return lie


def _without_one(rng: Random, bodies: list[bytes]) -> list[bytes]:
    at = rng.randrange(len(bodies))
    return [*bodies[:at], *bodies[at + 1 :]]


def _with_junk(rng: Random, bodies: list[bytes]) -> list[bytes]:
    at = rng.randrange(len(bodies))
    return [*bodies[:at], rng.randbytes(rng.randrange(2_000)), *bodies[at:]]


BODIES: Final[dict[str, Lie]] = {
    "body of a time alone": _body(lambda rng, body: body[:6]),
    "body at random": _body(lambda rng, body: rng.randbytes(rng.randrange(MAX_CHUNK_BYTES + 1))),
    "body at random behind its time": _body(lambda rng, body: body[:6] + rng.randbytes(rng.randrange(8_186))),
    "body of one byte": _body(lambda rng, body: body[:6] + bytes([rng.randrange(256)]) * rng.randrange(1, 8_187)),
    "body flipped": _body(_flipped),
    "body cut off": _body(_cut),
    "body overwritten": _body(_overwritten),
    "body said twice": _body(lambda rng, body: body + body[6:]),
    "body behind other bytes": _body(lambda rng, body: body[:6] + rng.randbytes(rng.randrange(1, 99)) + body[6:]),
    "body of a later time": _timed(lambda rng, time: time + rng.choice([1, 5_000, 2**46])),
    "body of the latest time": _timed(lambda rng, time: 2**48 - rng.choice([1, 2])),
    "body of an earlier time": _timed(lambda rng, time: rng.choice([0, 1, time - 1, time - 5_000, time // 2])),
    "bodies change places": _bodies(lambda rng, bodies: bodies[::-1]),
    "bodies at random": _bodies(lambda rng, bodies: rng.sample(bodies, len(bodies))),
    "bodies without one": _bodies(_without_one),
    "bodies with one twice": _bodies(lambda rng, bodies: [bodies[0], *bodies]),
    "bodies with junk between": _bodies(_with_junk),
    "bodies of nothing, as many as there may be": _bodies(lambda rng, bodies: [bodies[0][:6]] * MAX_CHUNKS),
    "bodies as long and as many as there may be": _bodies(
        lambda rng, bodies: [bodies[0].ljust(MAX_CHUNK_BYTES, rng.choice([b"\0", b"\xff"]))] * MAX_CHUNKS
    ),
}


# Operations.


def _pretended(scene: Scene, posted: Parts, applied: Parts) -> Draft:
    """These operations in the bytes, the roots of those; the queue's last words as the bridge wants them."""
    draft = draft_of(scene.bodies(posted), scene.replay(scene.bodies(applied)))
    return _as_the_bridge_wants(scene, draft)


def _as_the_bridge_wants(scene: Scene, draft: Draft) -> Draft:
    parent, true = scene.parent_commitment, draft.commitment
    taken = min(max(true.queue_taken, parent.queue_taken), scene.queue_length)
    count = min(max(true.queue_count, parent.queue_count), taken)
    return _replaced(draft, queue_count=count, queue_taken=taken, queue_hash=scene.chain_after(taken))


def _places(parts: Parts, tag: int) -> list[tuple[int, int]]:
    return [(at, n) for at, each in enumerate(parts) for n, operation in enumerate(each) if operation[0] == tag]


def _with(parts: Parts, at: int, place: int, *instead: bytes) -> Parts:
    changed = [list(each) for each in parts]
    changed[at][place : place + 1] = instead
    return changed


def _one_of(tag: int, *, is_posted: bool) -> Lie:
    """An operation is posted and not applied, or the other way round."""

    def lie(scene: Scene) -> Draft:
        parts = scene.parts(taken=len(scene.entries), steps=True)
        places = _places(parts, tag)
        if not places:
            # Not in this scene: something else is left out, so that the draw is not in vain.
            return scene.honest(parts)
        at, place = scene.rng.choice(places)
        without = _with(parts, at, place)
        return _pretended(scene, parts, without) if is_posted else _pretended(scene, without, parts)

    return lie


def _any_operation(change: Callable[[Random, list[bytes]], list[bytes]]) -> Lie:
    """The operations of one chunk changed in the bytes alone."""

    def lie(scene: Scene) -> Draft:
        parts = scene.parts()
        at = scene.rng.choice([at for at, each in enumerate(parts) if each])
        changed = [*parts[:at], change(scene.rng, parts[at]), *parts[at + 1 :]]
        return _pretended(scene, changed, parts)

    return lie


def _moved(scene: Scene) -> Draft:
    """An operation stands in another chunk than the one in which it was applied."""
    parts = scene.parts()
    at, to = scene.rng.sample(range(len(parts)), 2)
    if not parts[at]:
        at, to = to, at
    place = scene.rng.randrange(len(parts[at]))
    changed = _with(parts, at, place)
    changed[to].insert(scene.rng.randrange(len(changed[to]) + 1), parts[at][place])
    return _pretended(scene, changed, parts)


def _signed(make: Callable[[Scene, int], bytes]) -> Lie:
    """A request signed by another trader than its owner, applied as if the owner had signed."""

    def lie(scene: Scene) -> Draft:
        parts = scene.parts()
        false, true = make(scene, scene.rng.choice([1, 2])), make(scene, 0)
        return _pretended(scene, [*parts[:-1], [false, *parts[-1]]], [*parts[:-1], [true, *parts[-1]]])

    return lie


def _instead(posted: Callable[[Scene], bytes], applied: Callable[[Scene], bytes]) -> Lie:
    """One request in the bytes and another one in the roots."""

    def lie(scene: Scene) -> Draft:
        parts, false, true = scene.parts(), posted(scene), applied(scene)
        return _pretended(scene, [*parts[:-1], [false, *parts[-1]]], [*parts[:-1], [true, *parts[-1]]])

    return lie


def _malleable(scene: Scene) -> bytes:
    """The other signature of the same message, in the same compact form."""
    true = scene.withdrawal(0, 17, DOLLAR)
    s = int.from_bytes(true[-32:], "big")
    parity, s = s >> 255, s & (2**255 - 1)
    other = (CURVE_ORDER - s) & (2**255 - 1)
    return true[:-32] + ((1 - parity) << 255 | other).to_bytes(32, "big")


def _expired(scene: Scene) -> bytes:
    now = scene.now - constants.TICK_STEP
    request = containers.Request(17, 9, 1, now - 700_000, now - 100_001, DOLLAR, recipient=TRADERS[0])
    digest = signatures.request_digest(scene.rollup.bridge.domain_separator(), constants.WITHDRAW, request)
    return operations.request_bytes(constants.WITHDRAW, request, signatures.sign(world.TRADER_KEYS[0], digest))


def _false_tick(scene: Scene) -> Draft:
    """A tick whose prices no quorum signed, applied as if it had."""
    parts, venue = scene.parts(), scene.rollup.venue
    prices = [price + scene.rng.choice([-1, 1]) * price // 20 for price in world.PRICES]
    true = venue.tick(scene.now, prices)
    changed = bytearray(true)
    changed[-1 - scene.rng.randrange(60)] ^= 1
    rest = [each for each in parts[-1] if each[0] != constants.TICK]
    return _pretended(scene, [*parts[:-1], [*rest, bytes(changed)]], [*parts[:-1], [*rest, true]])


# Entries of the queue.


def _entry(change: Callable[[Random, bytes], bytes], *, is_posted: bool) -> Lie:
    """An entry's bytes are not those of L1, in the bytes and the roots, or in the roots alone."""

    def lie(scene: Scene) -> Draft:
        parts = scene.parts(taken=len(scene.entries))
        places = [place for place, each in enumerate(parts[0]) if each in scene.entries]
        if not places:
            return scene.honest(parts)
        place = scene.rng.choice(places)
        changed = _with(parts, 0, place, change(scene.rng, parts[0][place]))
        return _pretended(scene, changed if is_posted else parts, changed)

    return lie


def _entry_order(change: Callable[[Random, list[bytes]], list[bytes]]) -> Lie:
    """Entries left out, doubled or in another order, in bytes and roots, and the last words say nothing of it."""

    def lie(scene: Scene) -> Draft:
        parts = scene.parts(taken=len(scene.entries))
        entries = [each for each in parts[0] if each in scene.entries]
        if not entries:
            return scene.honest(parts)
        rest = [each for each in parts[0] if each not in scene.entries]
        changed = [[*rest, *change(scene.rng, entries)], *parts[1:]]
        return _pretended(scene, changed, changed)

    return lie


def _of_an_entry(first: int, last: int) -> Callable[[Random, bytes], bytes]:
    def change(rng: Random, entry: bytes) -> bytes:
        changed = bytearray(entry)
        at = rng.randrange(min(first, len(entry) - 1), min(last, len(entry)))
        changed[at] ^= 1 << rng.randrange(8)
        return bytes(changed)

    return change


def _invented_deposit(scene: Scene) -> Draft:
    """Money that never came to L1."""
    parts = scene.parts()
    amount = scene.rng.choice([1, DOLLAR, 10**12, 2**64 - 1])
    entry = containers.Deposit(TRADERS[3], TRADERS[3], scene.rng.choice([17, 18, constants.NEW_ACCOUNT]), amount)
    invented = [[*parts[0], operations.deposit_bytes(entry)], *parts[1:]]
    return _pretended(scene, invented, invented)


TAGS: Final = {
    "tick": constants.TICK,
    "order": constants.ORDER,
    "fill": constants.FILL,
    "withdraw": constants.WITHDRAW,
    "transfer": constants.TRANSFER,
    "cancel": constants.CANCEL,
    "set_leverage": constants.SET_LEVERAGE,
    "close_step": constants.CLOSE_STEP,
    "deposit": constants.DEPOSIT,
    "forced_rescue": constants.FORCED_RESCUE,
    "forced_withdraw": constants.FORCED_WITHDRAW,
    "forced_close": constants.FORCED_CLOSE,
    "leave": constants.LEAVE,
    "forced_agent": constants.FORCED_AGENT,
}

OPERATIONS: Final[dict[str, Lie]] = {
    **{f"{name} posted, not applied": _one_of(tag, is_posted=True) for name, tag in TAGS.items()},
    **{f"{name} applied, not posted": _one_of(tag, is_posted=False) for name, tag in TAGS.items()},
    "operation skipped": _any_operation(_without_one),
    "operation doubled": _any_operation(lambda rng, parts: [*parts, rng.choice(parts)]),
    "operations reordered": _any_operation(lambda rng, parts: rng.sample(parts, len(parts))),
    "operations reversed": _any_operation(lambda rng, parts: parts[::-1]),
    "operation in another chunk": _moved,
    "withdraw of a stranger": _signed(
        lambda s, t: s.signed(constants.WITHDRAW, t, 17, amount=DOLLAR, recipient=TRADERS[t])
    ),
    "transfer of a stranger": _signed(lambda s, t: s.transfer(t, 17, constants.NEW_ACCOUNT, 50 * DOLLAR)),
    "cancel of a stranger": _signed(lambda s, t: s.cancel(t, 17)),
    "leverage of a stranger": _signed(lambda s, t: s.signed(constants.SET_LEVERAGE, t, 17, amount=300_000)),
    "cancel all of a stranger": _signed(lambda s, t: s.signed(constants.CANCEL_ALL, t, 17, slot=0)),
    "agent of a stranger": _signed(
        lambda s, t: s.signed(
            constants.SET_AGENT, t, 17, amount=2**47, recipient=TRADERS[3], first_slot=1, last_slot=99
        )
    ),
    "withdraw of another amount": _instead(
        lambda s: s.withdrawal(0, 17, DOLLAR), lambda s: s.withdrawal(0, 17, DOLLAR + s.rng.choice([1, -1, 10**9]))
    ),
    "withdraw that was done already": _instead(lambda s: s.used[0], lambda s: s.withdrawal(1, 18, DOLLAR)),
    "withdraw that has expired": _instead(_expired, lambda s: s.withdrawal(0, 17, DOLLAR)),
    "withdraw with the other signature": _instead(_malleable, lambda s: s.withdrawal(0, 17, DOLLAR)),
    "tick that nobody signed": _false_tick,
    "entry forged": _entry(_of_an_entry(1, 99), is_posted=True),
    "entry applied otherwise": _entry(_of_an_entry(1, 99), is_posted=False),
    "entry of another sender": _entry(_of_an_entry(1, 21), is_posted=True),
    "entry of another time": _entry(_of_an_entry(21, 27), is_posted=True),
    "entry of another kind": _entry(lambda rng, entry: bytes([rng.randrange(16, 24)]) + entry[1:], is_posted=True),
    "entry skipped": _entry_order(_without_one),
    "entry doubled": _entry_order(lambda rng, entries: [entries[0], *entries]),
    "entries reordered": _entry_order(lambda rng, entries: rng.sample(entries, len(entries))),
    "deposit that never came": _invented_deposit,
}


# Rows and globals below a root.


def _below(tamper: Callable[[Random], Tamper]) -> Lie:
    def lie(scene: Scene) -> Draft:
        bodies = scene.bodies(scene.parts())
        at = scene.rng.randrange(len(bodies))
        return scene.tampered(bodies, at, tamper(scene.rng))

    return lie


def changed(rng: Random, value: Any) -> Any:
    """Another value of the same kind that still fits: a neighbour mostly."""
    if isinstance(value, bytes):
        flipped = bytearray(value)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        return [*value[:at], changed(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, msgspec.Struct):
        field = rng.choice(value.__struct_fields__)
        return msgspec.structs.replace(value, **{field: changed(rng, getattr(value, field))})
    return value - 1 if value > 0 and rng.random() < 0.5 else value + rng.choice([1, 1, 2])


def _account_field(name: str) -> Lie:
    def tamper(rng: Random) -> Tamper:
        def change(globals: containers.Globals, leaves: dict[int, bytes]) -> None:
            leaf = rng.choice([leaf for leaf in leaves if leaf & 255 == 0])
            row = encoding.account_from_payload(leaves[leaf])
            value = getattr(row, name)
            if isinstance(value, list):
                at = rng.randrange(len(value))
                value = [*value[:at], changed(rng, value[at]), *value[at + 1 :]]
            else:
                value = changed(rng, value)
            leaves[leaf] = encoding.account_payload(msgspec.structs.replace(row, **{name: value}))

        return change

    return _below(tamper)


def _position_field(name: str) -> Lie:
    def tamper(rng: Random) -> Tamper:
        def change(globals: containers.Globals, leaves: dict[int, bytes]) -> None:
            held = [leaf for leaf in leaves if leaf & 255 == 0 and _row(leaves[leaf]).positions[0].size]
            leaf = rng.choice(held)
            row = _row(leaves[leaf])
            first = msgspec.structs.replace(row.positions[0], **{name: changed(rng, getattr(row.positions[0], name))})
            row = msgspec.structs.replace(row, positions=[first, *row.positions[1:]])
            leaves[leaf] = encoding.account_payload(row)

        return change

    return _below(tamper)


def _row(payload: bytes) -> containers.Account:
    return encoding.account_from_payload(payload)


def _slot_field(name: str) -> Lie:
    def tamper(rng: Random) -> Tamper:
        def change(globals: containers.Globals, leaves: dict[int, bytes]) -> None:
            leaf = rng.choice([leaf for leaf in leaves if leaf & 255])
            row = encoding.slot_from_payload(leaves[leaf])
            row = msgspec.structs.replace(row, **{name: changed(rng, getattr(row, name))})
            leaves[leaf] = encoding.slot_payload(row)

        return change

    return _below(tamper)


def _new_leaf(kind: str) -> Lie:
    def tamper(rng: Random) -> Tamper:
        def change(globals: containers.Globals, leaves: dict[int, bytes]) -> None:
            index = rng.choice([5, 60, 2**24 - 1, rng.randrange(30, 2**24)])
            if kind == "account":
                row = msgspec.structs.replace(encoding.no_account(), owner=TRADERS[3], settled=10**10)
                leaves[index << 8] = encoding.account_payload(row)
            else:
                leaves[index << 8 | rng.randrange(1, 256)] = encoding.slot_payload(
                    containers.Slot(sequence=1, filled=0)
                )

        return change

    return _below(tamper)


def _lost_leaf(rng: Random) -> Tamper:
    return lambda globals, leaves: leaves.__delitem__(rng.choice([leaf for leaf in leaves if leaf]))


def _moved_money(rng: Random) -> Tamper:
    """Conserved: from one account to another."""

    def change(globals: containers.Globals, leaves: dict[int, bytes]) -> None:
        amount = rng.choice([1, DOLLAR, 1_000 * DOLLAR])
        for index, sign in ((17, -1), (18, 1)):
            row = _row(leaves[index << 8])
            row = msgspec.structs.replace(row, settled=row.settled + sign * amount)
            leaves[index << 8] = encoding.account_payload(row)

    return change


def _global(owner: Callable[[containers.Globals], Any], name: str) -> Lie:
    def tamper(rng: Random) -> Tamper:
        def change(globals: containers.Globals, leaves: dict[int, bytes]) -> None:
            held = owner(globals)
            setattr(held, name, changed(rng, getattr(held, name)))

        return change

    return _below(tamper)


def _any_market(globals: containers.Globals) -> containers.Market:
    return globals.markets[globals.tick_time // 5_000 % len(globals.markets)]


def _fields(kind: type[msgspec.Struct], *without: str) -> Sequence[str]:
    return [name for name in kind.__struct_fields__ if name not in without]


ROWS: Final[dict[str, Lie]] = {
    **{f"account {name}": _account_field(name) for name in _fields(containers.Account, "positions")},
    **{f"position {name}": _position_field(name) for name in _fields(containers.Position)},
    **{f"slot {name}": _slot_field(name) for name in _fields(containers.Slot)},
    **{f"globals {name}": _global(lambda g: g, name) for name in _fields(containers.Globals, "risk", "markets")},
    **{f"risk {name}": _global(lambda g: g.risk, name) for name in _fields(containers.Risk)},
    **{f"market {name}": _global(_any_market, name) for name in _fields(containers.Market)},
    "account that nobody opened": _new_leaf("account"),
    "slot that nobody used": _new_leaf("slot"),
    "row that is gone": _below(_lost_leaf),
    "money moved": _below(_moved_money),
}

LIES: Final[dict[str, Lie]] = {**LAST, **MIDDLE, **BODIES, **OPERATIONS, **ROWS}

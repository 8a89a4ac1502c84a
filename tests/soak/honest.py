"""Honest chunks on the shipped bytecode against every way to abuse prove_fraud: nobody honest is ever slashed.

Every abuse is drawn at random and sent against a rollup of honest_history.py; what the tip and honest bonds must be
afterwards is asked of the bridge. True proofs of a lie go through in between, so that nothing fails for another reason.
"""

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec
import trio

from l1_bridge.codec.batch import MAX_CHUNK_BYTES
from l1_bridge.codec.calls import MAX_WITNESS_BYTES, encode_call
from l1_bridge.contracts.artifact import Artifact, bridge_artifact
from l1_bridge.hashing import keccak
from prover.contracts.referee import FAMILIES, GAS_LIMIT, artifact
from prover.signing.recover import recover_fast
from prover.state import witness
from tests.l1_bridge.evm import Evm, Reverted
from tests.prover import world
from tests.soak.honest_history import ATTACKER, CHALLENGER, FOLLOWER, History, Posted, state_of

OTHER_CHAIN: Final = 1_337
CASES_A_ROLLUP: Final = 1_600
REFUSES, ANSWERS, BURNS = 1, 2, 3
LOWEST_GAS: Final = 21_000
# A starved proof has one of these: each is one percent more than the last.
STEPS_OF_GAS: Final = int(math.log(GAS_LIMIT / LOWEST_GAS) / math.log(1.01))
ABUSES: Final = (
    "plain",
    "padded",
    "truncated",
    "reordered",
    "flipped",
    "wrong_predecessor",
    "wrong_index",
    "other_bytes",
    "wrong_header",
    "stale",
    "rolled_back",
    "starved",
    "reentrancy",
    "refusing_payee",
    "front_running",
    "other_chain",
)


class Campaign:
    """Draws abuses, sends them, and looks at the bridge."""

    def __init__(self, seed: int, bridge: Artifact | None = None) -> None:
        self.rng = Random(seed)
        self.history: History = trio.run(History.make, seed, bridge)
        self.honest = [*self.history.provable, *self.history.beside]
        self.by_abuse: Counter[str] = Counter()
        self.by_reason: Counter[str] = Counter()
        self.slashes: list[str] = []
        self.right_proofs = 0
        self._other_side = self._split()
        self._misplaced = self._replayed_elsewhere()

    def run(self, cases: int) -> None:
        """So many abuses, kinds in turn."""
        for number in range(cases):
            kind = ABUSES[number % len(ABUSES)]
            abuse: Callable[[], None] = getattr(self, f"_{kind}")
            with self.history.evm.rolled_back():
                abuse()
                self._judge(kind)
            self.by_abuse[kind] += 1

    def _judge(self, kind: str) -> None:
        """Bonds of the honest are whole, and no honest batch below the lie is undone."""
        history = self.history
        slashed = {number for number in range(1, history.view("bond_count") + 1) if history.bond(number).slashed}
        if (
            not slashed <= {*history.slashed, history.lying_bond}
            or history.view("tip") < history.lie.batch.header.number - 1
        ):
            self.slashes.append(f"{kind}: bonds {sorted(slashed)}, tip {history.view('tip')}")

    def _refused(self, calldata: bytes, gas: int = GAS_LIMIT, sender: bytes = ATTACKER, evm: Evm | None = None) -> None:
        """A proof that must revert; one that does not is judged by what it left."""
        try:
            self.history.send(calldata, sender, gas, evm)
        except Reverted as refused:
            self._count(refused)
        else:
            self.by_reason["taken"] += 1

    def _count(self, refused: Reverted) -> None:
        said = refused.reason or "bare"
        # The EVM's own words for less gas than the input costs, and for gas that ran out.
        starved = next((word for word in ("Initial gas", "OutOfGas") if said.startswith(word)), said)
        self.by_reason[starved] += 1

    def _any(self) -> Posted:
        return self.rng.choice(self.honest)

    def _with(self, posted: Posted, **fields: Any) -> bytes:
        """Calldata against a chunk, with some of header, pairs, index, body and witness in place of its own."""
        given = {
            "header": posted.batch.header.words(),
            "pairs": posted.batch.pairs(),
            "index": posted.index,
            "body": posted.body,
            "witness": posted.witness,
        }
        return bridge_artifact().encode_call("prove_fraud", *(given | fields).values())

    # The witness.

    def _plain(self) -> None:
        self._refused(self._any().proof())

    def _padded(self) -> None:
        posted, rng = self._any(), self.rng
        room = MAX_WITNESS_BYTES - len(posted.witness)
        size = rng.choice([1, 31, 32, 64, rng.randrange(1, 2_000), room])
        padding = rng.choice([bytes(size), rng.randbytes(size), (posted.witness * 9)[:size]])
        at = rng.choice([len(posted.witness)] * 3 + [0, rng.randrange(len(posted.witness))])
        self._refused(self._with(posted, witness=posted.witness[:at] + padding + posted.witness[at:]))

    def _truncated(self) -> None:
        posted, rng = self._any(), self.rng
        end = len(posted.witness)
        kept = rng.choice([0, end - 1, end - 32, rng.randrange(end), rng.randrange(end - min(end, 900), end)])
        cut = rng.choice([posted.witness[:kept], posted.witness[end - kept :]])
        self._refused(self._with(posted, witness=cut))

    def _reordered(self) -> None:
        """Two parts of a witness change places: of its globals, or of what stands behind them."""
        posted, rng = self._any(), self.rng
        whole = changed = posted.witness
        while changed == whole:
            size = rng.choice([1, 32, 32, rng.randrange(1, 700)])
            # Most of a witness is globals; rows, hints and siblings stand behind them.
            lowest = rng.choice([0, max(len(whole) - 2_500, 0)])
            first, second = sorted(rng.randrange(lowest, len(whole) - size) for _ in range(2))
            second = max(second, first + size)
            parts = whole[first : first + size], whole[second : second + size]
            middle = whole[first + size : second]
            changed = whole[:first] + parts[1] + middle + parts[0] + whole[second + size :]
        self._refused(self._with(posted, witness=changed))

    def _flipped(self) -> None:
        posted, rng = self._any(), self.rng
        changed = bytearray(posted.witness)
        lowest = rng.choice([0, max(len(changed) - 2_500, 0)])
        for _ in range(rng.choice([1, 1, 1, 3, 20])):
            changed[rng.randrange(lowest, len(changed))] ^= 1 << rng.randrange(8)
        self._refused(self._with(posted, witness=bytes(changed)))

    # The place.

    def _replayed_elsewhere(self) -> list[tuple[Posted, bytes]]:
        """Honest chunks with a witness that replays their bytes on another state than theirs."""
        found = []
        domain = self.history.rollup.venue.domain
        for stored in self.history.states:
            state = state_of(stored, domain)
            for posted in self.honest:
                if state.root != posted.pre_root:
                    replayed = state.chunk(recover_fast)
                    replayed.run(posted.body)
                    found.append((posted, witness.build(state.tree, replayed)))
        return found

    def _wrong_predecessor(self) -> None:
        rng = self.rng
        posted, elsewhere = rng.choice(self._misplaced)
        pairs = list(posted.batch.pairs())
        before = max(posted.index - 1, 0)
        pair = (pairs[before][0], rng.choice(self.honest).pre_root)
        forged = [*pairs[:before], pair, *pairs[before + 1 :]]
        header = msgspec.structs.replace(posted.batch.header, parent_hash=rng.choice([bytes(32), keccak(b"other")]))
        self._refused(
            rng.choice(
                [
                    self._with(posted, witness=elsewhere),
                    self._with(posted, witness=elsewhere),
                    self._with(posted, witness=elsewhere, pairs=forged),
                    self._with(posted, witness=elsewhere, header=header.words()),
                    self._with(posted, witness=elsewhere, pairs=pairs[posted.index :], index=0),
                ]
            )
        )

    def _wrong_index(self) -> None:
        posted, rng = self._any(), self.rng
        count = len(posted.batch.chunks)
        index = rng.choice([each for each in range(count + 2) if each != posted.index] + [24, 2**128, 2**256 - 1])
        self._refused(self._with(posted, index=index))

    def _other_bytes(self) -> None:
        posted, rng = self._any(), self.rng
        other = self._any()
        body = posted.body
        at = rng.randrange(len(body) + 1)
        changed = rng.choice(
            [
                other.body if other.body != body else body + b"\x00",
                self.history.lie.body + b"\x01",
                body[:at] + rng.randbytes(rng.randrange(1, 40)) + body[at:],
                body[:-1] if body else b"\x00",
                body + bytes(rng.randrange(1, 64)),
            ]
        )
        proof = rng.choice([posted.witness, other.witness])
        self._refused(self._with(posted, body=changed[:MAX_CHUNK_BYTES], witness=proof))

    def _wrong_header(self) -> None:
        posted, rng = self._any(), self.rng
        header, pairs = posted.batch.header, list(posted.batch.pairs())
        lying = self.history.lie.batch
        forged = rng.choice(
            [
                {"number": rng.choice([0, header.number - 1, header.number + 1, 2**64, 2**256 - 1])},
                {"parent_hash": rng.choice([bytes(32), lying.header.parent_hash, rng.randbytes(32)])},
                {"rollback_counter": rng.choice([header.rollback_counter + 1, 0, 2**256 - 1])},
                {"committer": rng.choice([ATTACKER, bytes(20), lying.header.committer])},
            ]
        )
        changed = msgspec.structs.replace(header, **forged)
        zeros = [(body_hash, bytes(32)) for body_hash, _ in pairs]
        swapped = rng.choice([pairs[::-1], pairs[:-1], [*pairs, pairs[0]], lying.pairs(), zeros])
        if changed != header and rng.random() < 0.5:
            self._refused(self._with(posted, header=changed.words()))
        else:
            self._refused(self._with(posted, pairs=swapped if swapped != pairs else []))

    def _stale(self) -> None:
        """Against a final batch, and at any time from the end of the window on against all of them."""
        history, rng = self.history, self.rng
        if rng.random() < 0.5:
            self._refused(rng.choice(history.final).proof())
            return
        history.evm.now += world.PARAMETERS.window_seconds + rng.choice([0, 1, 10**6])
        self._refused(rng.choice([*self.honest, history.lie]).proof())

    def _rolled_back(self) -> None:
        posted, rng = self.rng.choice(self.history.rolled_back), self.rng
        number = rng.choice([posted.batch.header.number, self._any().batch.header.number])
        counter = rng.choice([posted.batch.header.rollback_counter, 1, 2])
        header = msgspec.structs.replace(posted.batch.header, number=number, rollback_counter=counter)
        self._refused(self._with(posted, header=header.words()))

    # Who sends it, and with what.

    def _starved(self) -> None:
        """Any limit from 21,000 on, of the whole transaction or of a call some levels below it."""
        posted, rng = self._any(), self.rng
        # Half of them where the referee and its families run out at one depth or another.
        floor = world.PARAMETERS.proof_gas_floor
        limit = int(LOWEST_GAS * 1.01 ** rng.randrange(STEPS_OF_GAS + 1))
        limit = rng.choice([limit, rng.randrange(floor * 9 // 10, 5 * floor)])
        padded = posted.witness + bytes(rng.choice([0, 0, 20_000, MAX_WITNESS_BYTES - len(posted.witness)]))
        calldata = self._with(posted, witness=rng.choice([posted.witness, padded]))
        if rng.random() < 0.6:
            self._refused(calldata, gas=limit)
            return
        history = self.history
        target = history.rollup.bridge.address
        for _ in range(rng.randrange(3)):
            calldata = history.payee.artifact.encode_call("act", target, calldata, int(limit))
            target = history.payee.address
        try:
            history.payee.send("act", target, calldata, limit, sender=ATTACKER, gas=GAS_LIMIT)
        except Reverted as refused:
            self._count(refused)
        else:
            self.by_reason["taken"] += 1

    def swept(self) -> int:
        """Every gas limit from 21,000 on in steps of a percent against one honest chunk; how many answered as law."""
        posted = max(self.honest, key=lambda each: len(each.witness))
        before = self.by_reason["HONEST_CHUNK"]
        for step in range(STEPS_OF_GAS + 1):
            self._refused(posted.proof(), gas=int(LOWEST_GAS * 1.01**step))
        self._judge("swept")
        return self.by_reason["HONEST_CHUNK"] - before

    def _payee(self, mood: int, payload: bytes = b"") -> None:
        history = self.history
        history.payee.send("set_mood", mood, history.rollup.bridge.address, payload, sender=ATTACKER)

    def _reentrancy(self) -> None:
        """A payee of the bridge proves an honest chunk while he is paid."""
        history, rng = self.history, self.rng
        proof = self._any().proof()
        self._payee(ANSWERS, rng.choice([proof, history.lie.proof()]))
        if rng.random() < 0.5:
            self._bonded()
            history.act(encode_call("withdraw_bond", history.view("bond_count")))
        else:
            history.act(history.lie.proof())
            history.evm.now += world.PARAMETERS.window_seconds
            history.send(encode_call("collect_reward", history.lying_bond), ATTACKER)
        assert history.payee.call("answered")
        if history.payee.call("succeeded"):
            self.slashes.append("reentrancy: a proof went through while the bridge paid")
        # The lock says nothing.
        self.by_reason["locked" if history.payee.call("failure") == b"" else "answered"] += 1

    def _bonded(self) -> None:
        """The contract holds a bond, and the seat no more."""
        history = self.history
        holder = history.rollup.chain.address(FOLLOWER)
        history.send(encode_call("resign", history.evm.now), holder)
        history.act(encode_call("take_seat", "x"), value_wei=world.PARAMETERS.bond_wei)
        history.act(encode_call("resign", history.evm.now))

    def _refusing_payee(self) -> None:
        """A prover who takes no ether proves the lie, tries honest chunks, and keeps nobody from his money."""
        history, rng = self.history, self.rng
        self._payee(rng.choice([REFUSES, BURNS]))
        history.act(history.lie.proof())
        self.right_proofs += 1
        for _ in range(rng.randrange(1, 3)):
            try:
                history.act(self._any().proof())
            except Reverted as refused:
                self._count(refused)
        history.evm.now += world.PARAMETERS.window_seconds
        self._refused(encode_call("collect_reward", history.lying_bond), gas=300_000)
        honest = history.rollup.chain.address(FOLLOWER)
        history.send(encode_call("resign", history.evm.now), honest)
        before = history.evm.balance_wei(honest)
        history.send(encode_call("withdraw_bond", history.view("bond_count")), honest)
        assert history.evm.balance_wei(honest) > before

    def _front_running(self) -> None:
        """A proof of the lie is seen in the pool: it is copied, doubled, and mixed with proofs of honest chunks."""
        history, rng = self.history, self.rng
        true = history.lie.proof()
        sent = [
            (true, ATTACKER),
            (true, CHALLENGER),
            (self._any().proof(), ATTACKER),
            (self._any().proof(), CHALLENGER),
        ]
        rng.shuffle(sent)
        winners = []
        for calldata, sender in sent:
            try:
                history.send(calldata, sender)
            except Reverted as refused:
                self._count(refused)
            else:
                winners.append((calldata, sender))
        first = next(each for each in sent if each[0] == true)
        if winners != [first] or history.bond(history.lying_bond).prover != first[1]:
            self.slashes.append(f"front_running: {len(winners)} proofs were taken")
        self.right_proofs += 1

    def _split(self) -> Evm:
        """The other side of a chain split, with the same contracts."""
        history = self.history
        referee = bytes.fromhex(history.view("REFEREE")[2:])
        shipped = artifact("FraudReferee")
        answers = [history.evm.call(ATTACKER, referee, shipped.encode_call(name.upper())) for name in FAMILIES]
        families = [answer[12:] for answer in answers]
        return history.evm.split(OTHER_CHAIN, history.rollup.bridge.address, referee, *families)

    def _other_chain(self) -> None:
        posted = self.rng.choice([*self.honest, self.history.lie])
        self._refused(posted.proof(), evm=self._other_side)


def run(cases: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Cases by abuse, what the bridge said, and how many honest bonds or batches fell; a new rollup now and then."""
    by_abuse: Counter[str] = Counter()
    by_reason: Counter[str] = Counter()
    slashes: list[str] = []
    chunks = right_proofs = 0
    for first in range(0, cases, CASES_A_ROLLUP):
        campaign = Campaign(seed + first)
        campaign.run(min(CASES_A_ROLLUP, cases - first))
        by_abuse += campaign.by_abuse
        by_reason += campaign.by_reason
        slashes += campaign.slashes
        chunks += len(campaign.honest)
        right_proofs += campaign.right_proofs
    summary = {
        "cases": cases,
        "by_abuse": dict(by_abuse),
        "by_reason": dict(sorted(by_reason.items())),
        "honest_chunks": chunks,
        "right_proofs": right_proofs,
        "false_slashes": len(slashes),
    }
    return summary, slashes

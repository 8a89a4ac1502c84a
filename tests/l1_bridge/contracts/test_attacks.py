"""Attacks on the bridge, each against the bridge without the rule (the loss) and with it."""

import msgspec
import pytest

from l1_bridge.codec.batch import MAX_CHUNKS, Batch, Chunk, Header, Withdrawal, WithdrawalTree
from l1_bridge.codec.calls import encode_claim, encode_prove_fraud
from l1_bridge.codec.events import BatchCommitted, LogError
from l1_bridge.contracts.artifact import Artifact, ArtifactError, decode_exactly
from l1_bridge.devnet.chain import TRANSACTION_GAS_LIMIT
from l1_bridge.hashing import keccak
from tests.l1_bridge.evm import Evm, Reverted, account, compile_stub, compile_without
from tests.l1_bridge.harness import (
    CHALLENGER,
    DEPOSITOR,
    DOLLAR,
    PARAMETERS,
    SEQUENCER,
    STRANGER,
    SUCCESSOR,
    TRADER,
    Harness,
    honest_chunk,
)

BOND = PARAMETERS.bond_wei
HOUR = 3_600
TAKES_A_FEE = 1
# followers that a roll-back by loop cannot clear in one transaction
BURYING = 1_200
# what the project promises of every proof, and what the pools of L1 nodes take at most
PROMISED_CALLDATA_BYTES, POOLED_CALLDATA_BYTES = 100_000, 131_072
UNPROVABLE_CHUNKS = POOLED_CALLDATA_BYTES // 64

# one bridge without all of them: every attack below needs only its own
RULES = {
    # C1
    '    assert commitment.timestamp_ms <= block.timestamp * 1000, "TIMESTAMP_AHEAD"\n': "",
    '    assert first_ms + PARAMETERS.max_lag_seconds * 1000 >= block.timestamp * 1000, "TIMESTAMP_BEHIND"\n': "",
    # B1
    '    assert len(payload) == length, "ENTRY_LENGTH"\n': "    pass\n",
    # H3
    '    assert lost_at == 0 or block.timestamp >= lost_at + PARAMETERS.unseat_seconds, "LOST_SEAT"\n': "",
    # C2
    '    assert not self._is_work_owed(), "WORK_OWED"\n': "    pass\n",
    # F10: the next block is anybody's, and who is slashed instead has missed as well
    '    assert block.number > self.seat_opened_in, "SEAT_JUST_OPENED"\n': "",
    "            self._miss(bond.holder)\n": "            pass\n",
    # F12
    '    assert self.bonds[successor].ahead_of == bond_id, "NOT_AHEAD"\n': "",
    # C10: without both, whoever takes the seat of a frozen bridge commits what he likes
    '    assert self.frozen_at == 0, "FROZEN"\n    assert msg.value': "    assert msg.value",
    '_check_chain()\n    assert self.frozen_at == 0, "FROZEN"\n    bond_id': "_check_chain()\n    bond_id",
    # H4
    "    bond.release_at = self._final_at(number - 1)\n": "    bond.release_at = 0\n",
    # H5
    '    assert not self._is_provable_at(bond.last_batch_at), "BOND_LOCKED"\n': "",
    # H8
    "        is_late = commitment.timestamp_ms >= late_at * 1000\n": "        pass\n",
    # C8: tip := parent leaves the followers where they are; this bridge tidies up
    "    self.tip = number - 1\n": """
    for dropped: uint256 in range(number, self.tip + 1, bound=100_000):
        self.hash_at[dropped] = empty(bytes32)
        self.last_root_at[dropped] = empty(bytes32)
        self.packed_at[dropped] = 0
    self.tip = number - 1
""",
    # H10: both, since each alone stops a proof on the other side of a split
    '    assert chain.id == CHAIN_ID, "CHAIN_ID"\n': "    pass\n",
    "    replayed_root: bytes32 = staticcall IReferee(REFEREE).replay(DOMAIN_SEPARATOR, pre_root, body, witness)\n": """
    replayed_root: bytes32 = empty(bytes32)
    answered: bool = False
    answer: Bytes[32] = b""
    answered, answer = raw_call(
        REFEREE,
        abi_encode(
            keccak256(abi_encode(DOMAIN_TYPE_HASH, keccak256("Catenary"), keccak256("1"), chain.id, self)),
            pre_root,
            body,
            witness,
            method_id=method_id("replay(bytes32,bytes32,bytes,bytes)"),
        ),
        max_outsize=32,
        is_static_call=True,
        revert_on_failure=False,
    )
    if answered:
        replayed_root = convert(answer, bytes32)
""",
    # H11
    "    received_micros: uint256 = (staticcall IERC20(TOKEN).balanceOf(self)) - before\n": "    received_micros: uint256 = amount_micros\n",  # noqa: E501
    # M14
    '    assert word & bit == 0, "ALREADY_CLAIMED"\n': "",
    '    assert self.claimed_total_micros <= self._record(self.tip).withdrawn_total_micros, "WITHDRAWN_TOTAL"\n': "",
}

# another bridge without the rules on the form of a batch; it takes only short chunks, to fit into an EVM's memory.
# Whoever takes his bond home from a seat that is open opens it once more there, who was late leaves at once, and a miss
# takes what pays for a proof
RULES_OF_FORM = {
    # C8: so many chunks as a proof can name
    "MAX_CHUNKS: public(constant(uint256)) = 24\n": f"MAX_CHUNKS: public(constant(uint256)) = {UNPROVABLE_CHUNKS}\n",
    "MAX_CHUNK_BYTES: public(constant(uint256)) = 7600\n": "MAX_CHUNK_BYTES: public(constant(uint256)) = 64\n",
    # C8: the bytes are in the log
    "        bodies=bodies,\n": "        bodies=empty(DynArray[Bytes[MAX_CHUNK_BYTES], MAX_CHUNKS]),\n",
    "        self._empty_seat()\n    log BondWithdrawn": "        self._open_seat()\n    log BondWithdrawn",
    '    assert block.timestamp >= self.owed_at + PARAMETERS.inclusion_seconds, "WAS_LATE"\n': "",
    # Who loses all of a bond burns what pays for a proof, and a proof is paid half of what is left
    "        burned_wei -= PARAMETERS.bond_wei // 2\n": "",
    "min(bond.amount_wei, PARAMETERS.bond_wei // 2)": "bond.amount_wei // 2",
}


@pytest.fixture(scope="session")
def unruly(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The bridge without the rules."""
    return compile_without(RULES, tmp_path_factory.mktemp("unruly"))


@pytest.fixture(scope="session")
def unformed(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The bridge without the rules of form."""
    return compile_without(RULES_OF_FORM, tmp_path_factory.mktemp("unformed"))


@pytest.fixture(params=["without the rule", "with the rule"])
def ruled(request: pytest.FixtureRequest) -> bool:
    """Whether the attacked bridge has its rules."""
    return bool(request.param == "with the rule")


@pytest.fixture
def bridge_artifact(ruled: bool, unruly: Artifact) -> Artifact | None:
    """The bridge that is attacked; None is the shipped one."""
    return None if ruled else unruly


@pytest.fixture
def attacked(stub_referee: Artifact, bridge_artifact: Artifact | None) -> Harness:
    """A seated bridge to be attacked."""
    venue = Harness(Evm(), stub_referee, bridge_artifact=bridge_artifact)
    venue.take_seat()
    return venue


@pytest.fixture
def attacked_by_form(stub_referee: Artifact, unformed: Artifact, ruled: bool) -> Harness:
    """An open bridge to be attacked by the form of a batch."""
    return Harness(Evm(), stub_referee, bridge_artifact=None if ruled else unformed)


def succeeds(attempt: object) -> bool:
    """Whether a call goes through."""
    try:
        attempt()  # type: ignore[operator]
    except Reverted:
        return False
    return True


def test_c1_fill_knowing_the_future(attacked: Harness, ruled: bool) -> None:
    attacked.evm.now += HOUR
    for shift in (+HOUR, -HOUR):
        moment = attacked.next_commitment(timestamp_ms=(attacked.evm.now + shift) * 1000)
        assert succeeds(lambda moment=moment: attacked.commit(moment)) is not ruled
    # with the time that is true both bridges go on
    attacked.commit()


def test_c2_two_friends_pass_an_idle_seat_to_and_fro(attacked: Harness, ruled: bool) -> None:
    attacked.deposit()
    friends = (SEQUENCER, account(50))
    burned_before = attacked.burned_wei
    for turn in range(6):
        attacked.evm.now += PARAMETERS.unseat_seconds - 1
        holder, friend = friends[turn % 2], friends[(turn + 1) % 2]
        attempt = ("resign", attacked.evm.now)
        if succeeds(lambda attempt=attempt, holder=holder: attacked.bridge.send(*attempt, sender=holder)):
            attacked.take_seat(friend)
            continue
        attacked.evm.now += 1
        attacked.bridge.send("unseat", sender=STRANGER)
        attacked.take_seat(friend)
    # Of the last four nothing goes home either, for half of each waits for a proof.
    lost_wei = attacked.burned_wei - burned_before + sum(attacked.bond(bond_id).amount_wei for bond_id in range(3, 7))
    assert lost_wei == (BOND // 4 + BOND // 2 + 4 * BOND if ruled else 4 * BOND)
    for bond_id in range(3, 7) if ruled else ():
        holder = attacked.bond(bond_id).holder
        assert not succeeds(
            lambda bond_id=bond_id, holder=holder: attacked.bridge.send("withdraw_bond", bond_id, sender=holder)
        )


def test_c10_be_the_first_or_choose_the_prices_after_a_freeze(attacked: Harness, ruled: bool) -> None:
    attacked.deposit(10 * DOLLAR)
    payees = [Withdrawal(index, account(100 + index), (index + 1) * DOLLAR) for index in range(3)]
    tree = attacked.commit_withdrawals(payees)
    # served by nobody until the bridge is frozen
    attacked.deposit(DOLLAR)
    attacked.evm.now += PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds + HOUR
    attacked.bridge.send("freeze", sender=STRANGER)
    # what is final is paid whole, whoever comes first, and the last one finds his money, too
    for order in (payees, payees[::-1]):
        with attacked.evm.rolled_back():
            for payee in order:
                attacked.claim(1, payee, tree.proof(payee.index))
            paid = [attacked.token.call("balanceOf", payee.recipient) for payee in payees]
            assert paid == [payee.amount_micros for payee in payees]
            assert attacked.bridge.call("vault_micros") == 5 * DOLLAR
    # what is inside accounts is nobody's: a seat that came now would settle it at prices of its choice
    loot = Withdrawal(3, STRANGER, 5 * DOLLAR)
    all_of_it = WithdrawalTree([payee.leaf() for payee in (*payees, loot)])

    def settle() -> None:
        attacked.take_seat(STRANGER)
        settled = {"withdrawals_root": all_of_it.root, "withdrawn_total_micros": 11 * DOLLAR}
        attacked.commit(attacked.next_commitment(**settled), sender=STRANGER)

    assert succeeds(settle) is not ruled
    attacked.evm.now += PARAMETERS.window_seconds
    assert succeeds(lambda: attacked.claim(attacked.tip, loot, all_of_it.proof(3))) is not ruled
    assert attacked.bridge.call("vault_micros") == (11 * DOLLAR if ruled else 6 * DOLLAR)
    # and those who were slow are paid as before
    attacked.claim(1, payees[2], tree.proof(2))


def test_h4_prove_a_decoy_of_ones_own_and_keep_the_reward(attacked: Harness, ruled: bool) -> None:
    theft = attacked.commit_lie()
    decoy = attacked.commit_lie()
    attacked.prove(decoy, sender=SEQUENCER)
    kept = succeeds(lambda: attacked.bridge.send("collect_reward", 1, sender=SEQUENCER))
    assert kept is not ruled
    attacked.prove(theft, sender=CHALLENGER)
    before = attacked.evm.balance_wei(CHALLENGER)
    rewarded = succeeds(lambda: attacked.bridge.send("collect_reward", 1, sender=CHALLENGER))
    assert rewarded is ruled
    assert attacked.evm.balance_wei(CHALLENGER) - before == (BOND // 2 if ruled else 0)


def test_h5_take_the_bond_home_before_the_lie_is_found(attacked: Harness, ruled: bool) -> None:
    lie = attacked.commit_lie()
    attacked.bridge.send("resign", attacked.evm.now, sender=SEQUENCER)
    escaped = succeeds(lambda: attacked.bridge.send("withdraw_bond", 1, sender=SEQUENCER))
    assert escaped is not ruled
    # a proof never depends on a bond being left
    attacked.prove(lie)
    assert attacked.tip == 0
    assert attacked.bond(1).reward_wei == (BOND // 2 if ruled else 0)


def test_h8_leave_a_deposit_waiting_for_ever(attacked: Harness, ruled: bool) -> None:
    attacked.deposit()
    for _ in range(5):
        attacked.evm.now += PARAMETERS.unseat_seconds // 6
        blind = attacked.next_commitment(queue_count=0)
        censored = succeeds(lambda blind=blind: attacked.commit(blind))
    assert censored is not ruled


def test_b1_pad_entries_until_no_batch_can_hold_them(attacked: Harness, ruled: bool) -> None:
    agent, padded = bytes(32), bytes(1_507)
    fee = PARAMETERS.entry_fee_wei
    attacked.bridge.send("enqueue", 20, agent, sender=STRANGER, value_wei=fee)
    attempt = ("enqueue", 20, padded)
    accepted = succeeds(lambda: attacked.bridge.send(*attempt, sender=STRANGER, value_wei=fee))
    assert accepted is not ruled
    # So many fit into the bytes of a chunk; by weight it would hold 94 of them.
    longest = padded if accepted else agent
    assert (7_600 - 6) // (29 + len(longest)) == (124 if ruled else 4)


def test_h1_put_a_flood_in_front_of_an_entry_and_trade_on(attacked: Harness, ruled: bool) -> None:
    for _ in range(6):
        attacked.deposit()
    attacked.bridge.send("enqueue", 16, bytes(11), sender=STRANGER, value_wei=PARAMETERS.entry_fee_wei)
    traded = 0
    for count in range(1, 7):
        attacked.evm.now += PARAMETERS.inclusion_seconds
        serving = attacked.next_commitment(queue_count=count)
        traded += succeeds(lambda serving=serving: attacked.commit(serving))
        if ruled:
            # The same batch, of chunks in which the law takes nothing but the queue.
            attacked.commit(serving, queue_only=True)
    assert traded == (0 if ruled else 6)


def test_h3_lose_the_seat_and_take_it_back_in_the_same_breath(attacked: Harness, ruled: bool) -> None:
    attacked.deposit()
    held = 0
    for _ in range(4):
        attacked.evm.now += PARAMETERS.unseat_seconds
        attacked.bridge.send("unseat", sender=SEQUENCER)
        if not succeeds(lambda: attacked.take_seat(SEQUENCER)):
            break
        held += 1
    assert held == (0 if ruled else 4)
    # Whoever stood ready has it.
    assert succeeds(lambda: attacked.take_seat(STRANGER)) is ruled


def test_keep_an_open_seat_from_everybody_with_a_bond_that_is_lent(attacked_by_form: Harness, ruled: bool) -> None:
    attacked = attacked_by_form
    squatter = attacked.evm.deploy(compile_stub("StubSquatter"))
    bridge = attacked.bridge
    kept = 0
    for _ in range(4):
        attacked.evm.now += 12
        # All at the top of a block: the bond is back at its end, since nothing was ever committed on it.
        taken, left, repaid = (
            bridge.artifact.encode_call("take_seat", ""),
            bridge.artifact.encode_call("resign", attacked.evm.now),
            bridge.artifact.encode_call("withdraw_bond", bridge.call("bond_count") + 1),
        )
        moves = [(taken, BOND), (left, 0), (repaid, 0)]
        squatter.send("act", bridge.address, moves, sender=STRANGER, value_wei=BOND)
        if succeeds(lambda: bridge.send("take_seat", "", sender=SUCCESSOR, value_wei=BOND)):
            break
        kept += 1
    assert kept == (0 if ruled else 4)


def test_f10_undo_a_lie_of_ones_own_and_be_back_until_the_bridge_freezes(attacked: Harness, ruled: bool) -> None:
    squatter = attacked.evm.deploy(compile_stub("StubSquatter"))
    bridge, take = attacked.bridge, (attacked.bridge.artifact.encode_call("take_seat", ""), BOND)

    def act(*moves: tuple[bytes, int]) -> None:
        attacked.evm.now += 0
        paid = sum(value_wei for _, value_wei in moves)
        squatter.send("act", bridge.address, list(moves), sender=STRANGER, value_wei=paid)

    def lie_and_proof() -> tuple[tuple[bytes, int], tuple[bytes, int]]:
        """The calldata of a batch that serves nobody, and of its proof: both are known beforehand."""
        head, honest = attacked.head, attacked.next_commitment(queue_count=attacked.head.queue_count)
        stolen = msgspec.structs.replace(honest, tree_root=keccak(b"stolen"))
        chunk = Chunk(honest_chunk(honest, queue_only=ruled).body, stolen.root())
        header = Header(head.number + 1, head.batch_hash, bridge.call("rollback_counter"), squatter.address)
        move = bridge.artifact.encode_call(
            "commit", head.number, head.batch_hash, [chunk.body], [chunk.post_root], stolen.words()
        )
        return (move, 0), (encode_prove_fraud(Batch(header, (chunk,), stolen), 0, b""), 0)

    bridge.send("resign", attacked.evm.now, sender=SEQUENCER)
    act(take)
    attacked.deposit()
    freeze_at = attacked.evm.now + PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    rounds = 0
    while attacked.evm.now + PARAMETERS.unseat_seconds - 1 < freeze_at:
        attacked.evm.now += PARAMETERS.unseat_seconds - 1
        lie = lie_and_proof()
        if ruled:
            with pytest.raises(Reverted, match="SEAT_JUST_OPENED"):
                act(*lie, take)
            # Undone all the same, the seat is anybody's but his.
            act(*lie)
            with pytest.raises(Reverted, match="LOST_SEAT"):
                act(take)
            break
        act(*lie, take)
        rounds += 1
        # Between two rounds nobody could take it from him.
        assert not succeeds(lambda: bridge.send("unseat", sender=SUCCESSOR))
    assert rounds == (0 if ruled else 7)
    assert bridge.call("misses") == ruled
    if ruled:
        attacked.take_seat(SUCCESSOR)
        attacked.commit(sender=SUCCESSOR, queue_only=True)
        return
    attacked.evm.now = freeze_at
    bridge.send("freeze", sender=STRANGER)
    assert bridge.call("frozen_at") == freeze_at


def test_say_that_all_is_served_and_leave_until_the_bridge_freezes(attacked_by_form: Harness, ruled: bool) -> None:
    attacked, bridge = attacked_by_form, attacked_by_form.bridge
    squatter = attacked.evm.deploy(compile_stub("StubSquatter"))

    def act(*moves: tuple[str, int, tuple[object, ...]]) -> None:
        attacked.evm.now += 0
        encoded = [(bridge.artifact.encode_call(name, *given), value_wei) for name, value_wei, given in moves]
        paid = sum(value_wei for _, value_wei, _ in moves)
        squatter.send("act", bridge.address, encoded, sender=STRANGER, value_wei=paid)

    act(("take_seat", BOND, ("",)))
    attacked.deposit()
    freeze_at = attacked.evm.now + PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    held, burned_before = 1, attacked.burned_wei
    while attacked.evm.now + PARAMETERS.unseat_seconds - 1 < freeze_at:
        act(("bond_ahead", BOND, ("", held)))
        attacked.evm.now += PARAMETERS.unseat_seconds - 1
        head, served = attacked.head, attacked.next_commitment()
        chunk = Chunk((served.timestamp_ms | 1 << 47).to_bytes(6, "big"), served.root())
        lie = (head.number, head.batch_hash, [chunk.body], [chunk.post_root], served.words())
        header = Header(head.number + 1, head.batch_hash, bridge.call("rollback_counter"), squatter.address)
        proof = (header.words(), Batch(header, (chunk,), served).pairs(), 0, chunk.body, b"")
        # Nothing is owed by what it says: its holder is gone when it falls, and a friend has another full deadline.
        moves = ("commit", 0, lie), ("hand_over", 0, (held + 1,)), ("prove_fraud", 0, proof)
        if ruled:
            with pytest.raises(Reverted, match="WAS_LATE"):
                act(*moves)
            # Whoever watches proves it in time, and has the seat opened.
            act(moves[0])
            bridge.send("prove_fraud", *proof, sender=CHALLENGER)
            break
        act(*moves)
        held += 1
        assert not succeeds(lambda: attacked.take_seat(SUCCESSOR))
        assert not succeeds(lambda: bridge.send("unseat", sender=SUCCESSOR))
    assert bridge.call("misses") == ruled
    if ruled:
        attacked.take_seat(SUCCESSOR)
        attacked.commit(sender=SUCCESSOR, queue_only=True)
        return
    assert attacked.burned_wei - burned_before == 7 * BOND // 2
    attacked.evm.now = freeze_at
    bridge.send("freeze", sender=STRANGER)
    assert bridge.call("frozen_at") == freeze_at


@pytest.mark.parametrize(("misses", "paid"), [(0, BOND * 3 // 8), (1, BOND // 4), (2, 0)])
def test_lie_and_be_unseated_so_that_nobody_is_paid_for_the_proof(
    attacked_by_form: Harness, ruled: bool, misses: int, paid: int
) -> None:
    attacked, bridge = attacked_by_form, attacked_by_form.bridge
    attacked.deposit()
    for friend in range(misses):
        attacked.take_seat(account(50 + friend))
        attacked.evm.now += PARAMETERS.unseat_seconds
        bridge.send("unseat", sender=STRANGER)
    squatter = attacked.evm.deploy(compile_stub("StubSquatter"))
    take = bridge.artifact.encode_call("take_seat", "")
    attacked.evm.now += 0
    squatter.send("act", bridge.address, [(take, BOND)], sender=STRANGER, value_wei=BOND)
    attacked.evm.now += PARAMETERS.unseat_seconds
    head, claimed = attacked.head, attacked.next_commitment(queue_count=0)
    chunk = Chunk((claimed.timestamp_ms | 1 << 47).to_bytes(6, "big"), claimed.root())
    lie = (head.number, head.batch_hash, [chunk.body], [chunk.post_root], claimed.words())
    # In one transaction: nobody proves it before.
    moves = [(bridge.artifact.encode_call("commit", *lie), 0), (bridge.artifact.encode_call("unseat"), 0)]
    squatter.send("act", bridge.address, moves, sender=STRANGER)
    header = Header(head.number + 1, head.batch_hash, bridge.call("rollback_counter"), squatter.address)
    pairs = Batch(header, (chunk,), claimed).pairs()
    bridge.send("prove_fraud", header.words(), pairs, 0, chunk.body, b"", sender=CHALLENGER)
    assert attacked.bond(misses + 1).reward_wei == (BOND // 2 if ruled else paid)
    assert attacked.bond(misses + 1).amount_wei == 0


def test_f12_seat_a_bond_that_waits_for_somebody_else(attacked: Harness, ruled: bool) -> None:
    attacked.bridge.send("bond_ahead", "", 1, sender=SUCCESSOR, value_wei=BOND)
    attacked.bridge.send("resign", attacked.evm.now, sender=SEQUENCER)
    attacked.take_seat(STRANGER)
    attacked.deposit()
    seated = succeeds(lambda: attacked.bridge.send("hand_over", 2, sender=STRANGER))
    assert seated is not ruled
    attacked.evm.now += PARAMETERS.unseat_seconds
    attacked.bridge.send("unseat", sender=DEPOSITOR)
    assert attacked.bond(2).amount_wei == (BOND if ruled else BOND - BOND // 4)
    assert attacked.bond(3).amount_wei == (BOND - BOND // 4 if ruled else BOND)


def test_h10_slash_an_honest_batch_by_making_its_referee_fail(attacked: Harness, ruled: bool) -> None:
    attacked.commit()
    slashed = succeeds(lambda: attacked.prove(1, 0, witness=b"revert"))
    assert slashed is not ruled
    assert attacked.bond(1).amount_wei == (BOND if ruled else 0)
    assert attacked.tip == (1 if ruled else 0)


def test_h11_book_more_than_arrives(
    stub_referee: Artifact, stub_token: Artifact, bridge_artifact: Artifact | None, ruled: bool
) -> None:
    venue = Harness(Evm(), stub_referee, stub_token, bridge_artifact=bridge_artifact)
    venue.take_seat()
    venue.token.send("set_habit", TAKES_A_FEE, STRANGER, b"", sender=STRANGER)
    venue.deposit(10 * DOLLAR)
    booked, held = venue.bridge.call("vault_micros"), venue.token.call("balanceOf", venue.bridge.address)
    assert (booked == held) is ruled
    venue.token.send("set_habit", 0, STRANGER, b"", sender=STRANGER)
    # the law pays out what was booked
    payee = Withdrawal(0, TRADER, booked)
    tree = venue.commit_withdrawals([payee])
    venue.evm.now += PARAMETERS.window_seconds
    assert succeeds(lambda: venue.claim(1, payee, tree.proof(0))) is ruled


def test_m14_claim_one_withdrawal_until_the_vault_is_empty(attacked: Harness, ruled: bool) -> None:
    attacked.deposit(10 * DOLLAR)
    payee = Withdrawal(0, STRANGER, DOLLAR)
    tree = attacked.commit_withdrawals([payee])
    attacked.evm.now += PARAMETERS.window_seconds
    paid = sum(succeeds(lambda: attacked.claim(1, payee, tree.proof(0))) for _ in range(12))
    assert paid == (1 if ruled else 10)


def test_m14_claim_what_a_theft_granted_after_it_is_undone(attacked: Harness) -> None:
    attacked.deposit(10 * DOLLAR)
    loot = Withdrawal(0, STRANGER, 10 * DOLLAR)
    tree = WithdrawalTree([loot.leaf()])
    lie = attacked.commit_lie(withdrawals_root=tree.root, withdrawn_total_micros=loot.amount_micros)
    with attacked.evm.rolled_back():
        # nobody proves it: after the window the money is gone, on any bridge
        attacked.evm.now += PARAMETERS.window_seconds
        attacked.claim(lie, loot, tree.proof(0))
        assert attacked.bridge.call("vault_micros") == 0
    attacked.prove(lie)
    attacked.evm.now += PARAMETERS.window_seconds
    assert not succeeds(lambda: attacked.claim(lie, loot, tree.proof(0)))
    assert attacked.bridge.call("vault_micros") == 10 * DOLLAR


def test_h10_turn_an_honest_batch_into_fraud_on_the_other_side_of_a_split(attacked: Harness, ruled: bool) -> None:
    # what the law makes of this chunk depends on the domain, as it does wherever a signature is checked
    parent_root = attacked.head.last_root
    signed = keccak(attacked.id.domain_separator() + parent_root + keccak(b"signed"))
    commitment = attacked.next_commitment()
    attacked.commit(commitment, [Chunk(b"signed", signed), honest_chunk(commitment)])
    proof = encode_prove_fraud(attacked.batches[1], 0, b"")
    bridge = attacked.bridge
    # on its own chain it is honest, whatever the bridge
    assert not succeeds(lambda: attacked.evm.send(CHALLENGER, bridge.address, proof))

    for chain_id in (attacked.evm.chain_id, 1):
        attacked.evm = bridge.evm = attacked.evm.split(chain_id, bridge.address, attacked.referee.address)
        assert (attacked.tip, attacked.bond(1).amount_wei) == (1, BOND)
        slashed = succeeds(lambda: attacked.evm.send(CHALLENGER, bridge.address, proof))
        assert slashed is (chain_id == 1 and not ruled)
    assert attacked.tip == (1 if ruled else 0)
    assert attacked.bond(1).amount_wei == (BOND if ruled else 0)
    assert attacked.burned_wei == (0 if ruled else BOND // 2)


def test_c8_bury_a_lie_under_many_batches(attacked: Harness, ruled: bool) -> None:
    attacked.deposit(10 * DOLLAR)
    loot = Withdrawal(0, STRANGER, 10 * DOLLAR)
    tree = WithdrawalTree([loot.leaf()])
    lie = attacked.commit_lie(withdrawals_root=tree.root, withdrawn_total_micros=loot.amount_micros)
    proof = encode_prove_fraud(attacked.batches[lie], 1, b"")
    needed = []
    for followers in (0, 1, 40, BURYING):
        while attacked.tip < lie + followers:
            attacked.commit()
        contracts = (attacked.bridge.address, proof, attacked.referee.address)
        needed.append(attacked.evm.gas_in_a_block(CHALLENGER, *contracts, keys=lie + followers + 1))
    if ruled:
        assert needed == [needed[0]] * 4
        attacked.prove(lie)
    else:
        none, one, forty, buried = needed
        assert none is not None
        assert one is not None
        assert forty is not None
        # three cold words are cleared for each
        assert 15_000 <= one - none <= 16_000
        assert 40 * 15_000 <= forty - none <= 40 * 16_000
        assert buried is None

    attacked.evm.now += PARAMETERS.window_seconds
    stolen = succeeds(lambda: attacked.claim(lie, loot, tree.proof(0)))
    assert stolen is not ruled
    assert attacked.bridge.call("vault_micros") == (10 * DOLLAR if ruled else 0)


def test_c8_post_more_chunks_than_a_proof_can_name(attacked_by_form: Harness, ruled: bool) -> None:
    venue = attacked_by_form
    venue.take_seat()

    head, bridge = venue.head, venue.bridge
    stolen = venue.next_commitment(tree_root=keccak(b"theft"))

    def posted(count: int) -> int | None:
        """Bytes of calldata of the proof, without witness, against so many chunks of a time; None if refused."""
        roots = [*(keccak(bytes([i % 256])) for i in range(count - 1)), stolen.root()]
        commit = ("commit", head.number, head.batch_hash, [b"a time"] * count, roots, stolen.words())
        header = Header(1, head.batch_hash, 0, SEQUENCER)
        pairs = [(keccak(b"a time"), root) for root in roots]
        proof = bridge.artifact.encode_call("prove_fraud", header.words(), pairs, 0, b"a time", b"")
        with venue.evm.rolled_back():
            if not succeeds(lambda: bridge.send(*commit, sender=SEQUENCER, gas=TRANSACTION_GAS_LIMIT)):
                return None
            # only its size stands in the way of the proof
            venue.evm.send(CHALLENGER, bridge.address, proof)
            assert venue.tip == 0
        return len(proof)

    most = posted(MAX_CHUNKS)
    assert most is not None
    assert most < 2_500
    found = [posted(count) for count in (MAX_CHUNKS + 1, PROMISED_CALLDATA_BYTES // 64 + 1, UNPROVABLE_CHUNKS)]
    if ruled:
        assert found == [None, None, None]
        return
    one_more, unpromised, unpooled = (size or 0 for size in found)
    assert one_more == most + 64
    assert unpromised > PROMISED_CALLDATA_BYTES
    assert unpooled > POOLED_CALLDATA_BYTES


def test_c8_hide_the_bytes_behind_a_contract_and_odd_offsets(attacked_by_form: Harness, ruled: bool) -> None:
    venue = attacked_by_form
    venue.deposit(10 * DOLLAR)
    forwarder = venue.evm.deploy(compile_stub("StubForwarder"))
    artifact, bridge = venue.bridge.artifact, venue.bridge.address
    seat = artifact.encode_call("take_seat", "")
    forwarder.send("forward", bridge, seat, sender=STRANGER, value_wei=BOND)
    loot = Withdrawal(0, STRANGER, 10 * DOLLAR)
    tree = WithdrawalTree([loot.leaf()])
    stolen = venue.next_commitment(withdrawals_root=tree.root, withdrawn_total_micros=loot.amount_micros)
    head, body = venue.head, honest_chunk(stolen).body[:40]
    roots = [keccak(b"between"), stolen.root()]
    calldata = artifact.encode_call("commit", head.number, head.batch_hash, [body, body], roots, stolen.words())
    # both bodies become one: a reader of calldata that insists on the usual layout is blind here
    second = int.from_bytes(calldata[4 + 32 * 15 :][:32], "big")
    first = int.from_bytes(calldata[4 + 32 * 14 :][:32], "big")
    assert (first, second) == (64, 160)
    odd = calldata[: 4 + 32 * 15] + first.to_bytes(32, "big") + calldata[4 + 32 * 16 :]
    transaction = forwarder.artifact.encode_call("forward", bridge, odd)
    receipt = venue.evm.send(STRANGER, forwarder.address, transaction)

    # the input says nothing: it is no call of the bridge, and what it carries is no batch to a strict reader
    assert transaction[:4] != calldata[:4]
    kinds = artifact.functions["commit"].input_types
    decode_exactly(kinds, calldata[4:])
    with pytest.raises(ArtifactError):
        decode_exactly(kinds, odd[4:])
    if not ruled:
        with pytest.raises(LogError, match="INCONSISTENT"):
            venue.event(receipt)
    else:
        # the log alone gives all that a proof needs
        event = venue.event(receipt)
        assert isinstance(event, BatchCommitted)
        assert [chunk.body for chunk in event.batch.chunks] == [body, body]
        assert event.batch.header.committer == forwarder.address
        venue.evm.send(CHALLENGER, bridge, encode_prove_fraud(event.batch, 1, b""))
    assert venue.tip == (0 if ruled else 1)
    venue.evm.now += PARAMETERS.window_seconds
    claim = encode_claim(1, stolen, loot, tree.proof(0))
    assert succeeds(lambda: venue.evm.send(STRANGER, bridge, claim)) is not ruled
    assert venue.bridge.call("vault_micros") == (10 * DOLLAR if ruled else 0)

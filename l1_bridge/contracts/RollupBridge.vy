# pragma version 0.4.3
"""
@title Catenary's bridge: money, bytes and time
@license MIT
@notice Keeps the traders' dollars, orders what enters from L1, logs every batch, undoes a proven lie, pays what is final
@dev Immutable and without an owner. Not one margin rule lives here: the law is asked through IReferee.replay.
     Invariant: a batch is canonical if and only if its number <= tip and hash_at[number] is its hash; whatever else is
     stored under a number above tip is a leftover of a roll-back and is never read.
     Invariant: batches are committed in time order, so whatever is older than a final batch is final.
"""

from ethereum.ercs import IERC20
from .interfaces import IReferee

struct Parameters:
    window_seconds: uint256  # a batch is provable for so long, and final afterwards
    inclusion_seconds: uint256  # a batch on a parent that owes an older queue entry serves the queue alone, in L2 time
    max_lag_seconds: uint256  # L2 time may lag L1 time by so much
    unseat_seconds: uint256  # an entry due for so long costs the seat; halves with every miss
    unseat_floor_seconds: uint256  # ... but never below this
    freeze_grace_seconds: uint256  # an entry due for window + this freezes the bridge
    spacing_seconds: uint256  # distance of due times per 600 kilogas of queued work
    bond_wei: uint256
    minimum_deposit_micros: uint256
    proof_gas_floor: uint256  # a proof that starts with less gas is refused
    entry_fee_wei: uint256  # price of a queue entry that is no deposit; burned
    governor: address  # may announce parameters, and nothing else
    governance_delay_seconds: uint256  # an announcement waits for so long, in the open

struct Commitment:
    law_version: uint256
    tree_root: bytes32
    withdrawals_root: bytes32
    withdrawn_total_micros: uint256
    queue_count: uint256
    queue_taken: uint256
    queue_hash: bytes32
    timestamp_ms: uint256
    globals_hash: bytes32

struct Header:
    number: uint256
    parent_hash: bytes32
    rollback_counter: uint256
    committer: address

struct Pair:
    body_hash: bytes32
    post_root: bytes32

struct BatchRecord:
    number: uint256
    batch_hash: bytes32
    last_root: bytes32
    bond_id: uint256
    committed_at: uint256
    queue_count: uint256
    withdrawn_total_micros: uint256

struct QueueEntry:
    chain_hash: bytes32
    enqueued_at: uint256
    due_at: uint256

struct Bond:
    holder: address
    amount_wei: uint256
    last_batch_at: uint256
    slashed: bool  # by a proof, or by the last of three misses: nothing of it goes home
    prover: address
    reward_wei: uint256
    release_at: uint256
    ahead_of: uint256  # bond of the holder who may seat it, 0: it took the seat itself

struct EntryInput:
    tag: uint256
    payload: Bytes[MAX_PAYLOAD_BYTES]

struct Seat:
    holder: address
    bond_id: uint256
    taken_at: uint256
    handover_at: uint256

struct Deadlines:
    entry_index: uint256
    due_at: uint256
    unseat_at: uint256
    freeze_at: uint256

event Genesis:
    batch_hash: indexed(bytes32)
    root: indexed(bytes32)
    referee: address
    token: address
    parameters: Parameters
    commitment: Commitment
    genesis_bytes: Bytes[MAX_GENESIS_BYTES]

event Enqueued:
    index: indexed(uint256)
    chain_hash: bytes32
    enqueued_at: uint256
    due_at: uint256
    operation: Bytes[MAX_ENTRY_BYTES]

event Announced:
    announcement: indexed(bytes32)
    enactable_at: uint256
    tag: uint256
    payload: Bytes[MAX_PAYLOAD_BYTES]

event Retracted:
    announcement: indexed(bytes32)

event BatchCommitted:
    number: indexed(uint256)
    batch_hash: indexed(bytes32)
    committer: indexed(address)
    parent_hash: bytes32
    rollback_counter: uint256
    bond_id: uint256
    committed_at: uint256
    commitment: Commitment
    bodies: DynArray[Bytes[MAX_CHUNK_BYTES], MAX_CHUNKS]
    post_roots: DynArray[bytes32, MAX_CHUNKS]

event RolledBack:
    number: indexed(uint256)
    batch_hash: indexed(bytes32)
    prover: indexed(address)
    chunk_index: uint256
    claimed_root: bytes32
    replayed_root: bytes32
    rollback_counter: uint256
    bond_id: uint256
    burned_wei: uint256
    reward_wei: uint256
    release_at: uint256

event Claimed:
    index: indexed(uint256)
    recipient: indexed(address)
    amount_micros: uint256
    batch_number: uint256

event SeatTaken:
    holder: indexed(address)
    bond_id: indexed(uint256)
    endpoint_url: String[MAX_URL_BYTES]

event SeatResigned:
    holder: indexed(address)
    bond_id: indexed(uint256)
    handover_at: uint256

event SeatLost:
    holder: indexed(address)
    bond_id: indexed(uint256)
    entry_index: uint256
    burned_wei: uint256
    misses: uint256

event BondWithdrawn:
    holder: indexed(address)
    bond_id: indexed(uint256)
    amount_wei: uint256

event RewardCollected:
    prover: indexed(address)
    bond_id: indexed(uint256)
    amount_wei: uint256

event Frozen:
    entry_index: indexed(uint256)
    tip: uint256
    last_root: bytes32

LAW_VERSION: public(constant(uint256)) = 4
MAX_CHUNKS: public(constant(uint256)) = 24
MAX_CHUNK_BYTES: public(constant(uint256)) = 7600
MAX_WITNESS_BYTES: public(constant(uint256)) = 98304
MAX_GENESIS_BYTES: constant(uint256) = 16384
MAX_ENTRY_BYTES: constant(uint256) = 1632
MAX_PAYLOAD_BYTES: constant(uint256) = 1603
MAX_URL_BYTES: constant(uint256) = 128
WITHDRAWALS_DEPTH: constant(uint256) = 32

NEW_ACCOUNT: public(constant(uint256)) = 16777215  # 0xFFFFFF: the law hands out the next index
DEPOSIT_TAG: constant(bytes1) = 0x01
DEPOSIT_WEIGHT_KILOGAS: public(constant(uint256)) = 100
# Entries of the law that anybody may write, then the governor's; what they mean is the law's business
FIRST_ENTRY_TAG: constant(uint256) = 16
FIRST_GOVERNOR_TAG: constant(uint256) = 22
ENTRY_TAGS: constant(uint256) = 8
# Bytes of each payload, 0 where they follow from a tick's own counts: what nobody needs cannot fill the law's chunks
ENTRY_LENGTHS: public(constant(uint256[ENTRY_TAGS])) = [11, 11, 17, 3, 32, 0, 98, 27]
TICK_HEAD_LENGTH: constant(uint256) = 8
TICK_SIGNER_LENGTH: constant(uint256) = 65
TICK_MARKET_LENGTH: constant(uint256) = 10
MAX_TICK_SIGNERS: constant(uint256) = 7
MAX_TICK_MARKETS: constant(uint256) = 16
MAX_ENTRIES_AT_ONCE: constant(uint256) = 4
ENTRY_WEIGHTS_KILOGAS: public(constant(uint256[ENTRY_TAGS])) = [320, 145, 125, 145, 99, 600, 32, 32]
SPACING_UNIT_KILOGAS: constant(uint256) = 600
# A chunk begins with its time in milliseconds; the top bit of it says that the law takes entries, ticks and close steps
CHUNK_TIME_BYTES: constant(uint256) = 6
QUEUE_ONLY_BIT: constant(uint256) = 2**47

SEVEN_DAYS: constant(uint256) = 604800
MOST_SECONDS_UNSERVED: constant(uint256) = 10800
MOST_SECONDS_SEATED: constant(uint256) = 172800
MISS_RECOVERY_SECONDS: public(constant(uint256)) = SEVEN_DAYS
MAX_HALVINGS: constant(uint256) = 32
THIRTY_DAYS: constant(uint256) = 2592000
# What a miss takes of the bond doubles with each one before it within so long: a quarter, a half, all of it
MISS_MEMORY_SECONDS: public(constant(uint256)) = THIRTY_DAYS
MAX_DOUBLINGS: constant(uint256) = 2
# The law changes the same parameters again after thirty days of L2 time, from where it took the entry: a day more, so
# that nothing is enacted that it would refuse as TOO_SOON
PARAMETER_PERIOD_SECONDS: public(constant(uint256)) = 2678400
# An announcement that nobody enacts in time has to be made again
ENACTMENT_SECONDS: public(constant(uint256)) = 1209600

DOMAIN_TYPE_HASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)

TOKEN: public(immutable(address))
REFEREE: public(immutable(address))
CHAIN_ID: public(immutable(uint256))
DOMAIN_SEPARATOR: public(immutable(bytes32))
PARAMETERS: immutable(Parameters)

tip: public(uint256)
rollback_counter: public(uint256)
rolled_back_at: public(uint256)
frozen_at: public(uint256)
hash_at: HashMap[uint256, bytes32]
last_root_at: HashMap[uint256, bytes32]
packed_at: HashMap[uint256, uint256]

queue_length: public(uint256)
chain_after: HashMap[uint256, bytes32]  # hash chain after so many entries
announced_at: public(HashMap[bytes32, uint256])
enacted_at: HashMap[uint256, uint256]  # by tag and, for a market's parameters, market: tag << 8 | market
times_of: HashMap[uint256, uint256]  # of the entry with this index: enqueued_at << 64 | due time in 600ths of a second

seat_bond_id: uint256
seat_taken_at: uint256
seat_handover_at: uint256
seat_opened_in: uint256  # block in which a proof or a miss opened it last
endpoint_url: public(String[MAX_URL_BYTES])
misses: public(uint256)
missed_at: public(uint256)
bond_count: public(uint256)
bonds: HashMap[uint256, Bond]
endpoint_of: HashMap[uint256, String[MAX_URL_BYTES]]  # where the holder of a bond answers
lost_at: HashMap[address, uint256]  # when somebody lost the seat over work that he owed
owed_at: uint256  # when a batch came last whose parent owed work

vault_micros: public(uint256)  # booked deposits less paid claims; what is sent here unasked is not in it
claimed_total_micros: public(uint256)
claimed_bits: HashMap[uint256, uint256]


@deploy
def __init__(
    token: address,
    referee: address,
    parameters: Parameters,
    genesis: Commitment,
    genesis_bytes: Bytes[MAX_GENESIS_BYTES],
):
    """
    @notice Fixes everything for ever and makes batch 0, which is final at once
    @dev The genesis bytes are opaque here; they are logged, so that L1 alone is enough to rebuild the state
    @param token ERC-20 with six decimals; its transfers must return true or nothing
    @param referee The law's verdict on one chunk
    @param parameters Times in seconds, bond in wei, smallest deposit in micro-dollars, gas floor of a proof
    @param genesis The nine words behind the first root
    @param genesis_bytes Canonical bytes from which anybody rebuilds the first state
    """
    assert token.is_contract and referee.is_contract, "NOT_A_CONTRACT"
    if chain.id != 31337 and chain.id != 1337:
        assert parameters.window_seconds >= SEVEN_DAYS, "WINDOW_TOO_SHORT"
        assert parameters.freeze_grace_seconds >= SEVEN_DAYS, "GRACE_TOO_SHORT"
        # whoever does not like what is announced has left, by force if need be, before it stands
        assert parameters.governance_delay_seconds >= THIRTY_DAYS, "DELAY_TOO_SHORT"
        assert (
            parameters.governance_delay_seconds > parameters.window_seconds + parameters.freeze_grace_seconds
        ), "DELAY_TOO_SHORT"
        # of the four hours that profit waits in the law an hour is left to whoever watches
        assert (
            parameters.max_lag_seconds + parameters.inclusion_seconds <= MOST_SECONDS_UNSERVED
        ), "SERVED_TOO_LATE"
        # without prices for three days the law lets an exit go unserved: whoever withholds them has lost the seat before
        assert parameters.unseat_seconds <= MOST_SECONDS_SEATED, "UNSEATED_TOO_LATE"
    assert parameters.window_seconds > 0 and parameters.window_seconds < 2**32, "PARAMETERS"
    assert parameters.freeze_grace_seconds < 2**32, "PARAMETERS"
    assert parameters.inclusion_seconds > 0 and parameters.inclusion_seconds < 2**32, "PARAMETERS"
    assert parameters.max_lag_seconds > 0 and parameters.max_lag_seconds < 2**32, "PARAMETERS"
    assert parameters.unseat_floor_seconds > 0, "PARAMETERS"
    assert parameters.unseat_floor_seconds <= parameters.unseat_seconds, "PARAMETERS"
    assert parameters.unseat_seconds < 2**32 and parameters.spacing_seconds < 2**16, "PARAMETERS"
    # EIP-7825 caps a transaction at 2**24 gas: a floor near it would make every proof impossible
    assert parameters.proof_gas_floor <= 10_000_000, "PARAMETERS"
    assert parameters.bond_wei >= 4, "PARAMETERS"
    assert parameters.governance_delay_seconds < 2**32, "PARAMETERS"

    assert genesis.law_version == LAW_VERSION, "LAW_VERSION"
    assert genesis.withdrawals_root == empty(bytes32) and genesis.withdrawn_total_micros == 0, "GENESIS"
    assert genesis.queue_count == 0 and genesis.queue_hash == empty(bytes32), "GENESIS"
    assert genesis.queue_taken == 0, "GENESIS"
    assert genesis.timestamp_ms <= block.timestamp * 1000, "TIMESTAMP_AHEAD"

    TOKEN = token
    REFEREE = referee
    CHAIN_ID = chain.id
    PARAMETERS = parameters
    DOMAIN_SEPARATOR = keccak256(
        abi_encode(DOMAIN_TYPE_HASH, keccak256("Catenary"), keccak256("1"), chain.id, self)
    )
    root: bytes32 = keccak256(abi_encode(genesis))
    pairs_hash: bytes32 = keccak256(abi_encode(keccak256(genesis_bytes), root))
    batch_hash: bytes32 = keccak256(
        abi_encode(chain.id, self, empty(uint256), empty(bytes32), empty(uint256), empty(address), pairs_hash)
    )
    self.hash_at[0] = batch_hash
    self.last_root_at[0] = root
    log Genesis(
        batch_hash=batch_hash,
        root=root,
        referee=referee,
        token=token,
        parameters=parameters,
        commitment=genesis,
        genesis_bytes=genesis_bytes,
    )



@external
@nonreentrant
def deposit(owner: address, account_index: uint256, amount_micros: uint256) -> uint256:
    """
    @notice Takes dollars and queues their booking; the law refunds by a withdrawal what it cannot book
    @dev The entry carries what has really arrived, not what was asked for
    @param owner Owner of the account to be credited
    @param account_index Account below 2**24, or NEW_ACCOUNT (0xFFFFFF) for a new one
    @param amount_micros How much to take from the caller, who has approved it, in micro-dollars
    @return Index of the queue entry
    """
    self._check_chain()
    assert self.frozen_at == 0, "FROZEN"
    assert owner != empty(address), "OWNER_ZERO"
    assert account_index <= NEW_ACCOUNT, "ACCOUNT_INDEX"
    before: uint256 = staticcall IERC20(TOKEN).balanceOf(self)
    assert extcall IERC20(TOKEN).transferFrom(msg.sender, self, amount_micros, default_return_value=True), "TOKEN"
    received_micros: uint256 = (staticcall IERC20(TOKEN).balanceOf(self)) - before
    assert received_micros >= PARAMETERS.minimum_deposit_micros and received_micros > 0, "DEPOSIT_TOO_SMALL"
    assert received_micros < 2**64, "DEPOSIT_TOO_LARGE"
    self.vault_micros += received_micros
    operation: Bytes[52] = concat(
        DEPOSIT_TAG,
        convert(msg.sender, bytes20),
        convert(owner, bytes20),
        convert(convert(account_index, uint24), bytes3),
        convert(convert(received_micros, uint64), bytes8),
    )
    return self._enqueue(operation, DEPOSIT_WEIGHT_KILOGAS)


@external
@payable
@nonreentrant
def enqueue(tag: uint256, payload: Bytes[MAX_PAYLOAD_BYTES]) -> uint256:
    """
    @notice Queues an operation that nobody can leave out: who sends it and when is part of it
    @dev The payload is opaque here but for its length. The law answers to every one with a code, and the queue goes on
    @param tag Which operation of the law, 16 to 21
    @param payload Its fields
    @return Index of the queue entry
    """
    assert msg.value == PARAMETERS.entry_fee_wei, "ENTRY_FEE"
    index: uint256 = self._enqueue_forced(tag, payload)
    send(empty(address), msg.value)
    return index


@external
@payable
@nonreentrant
def enqueue_many(entries: DynArray[EntryInput, MAX_ENTRIES_AT_ONCE]) -> uint256:
    """
    @notice Queues up to four operations one right behind the other: the ticks that are evidence, and what they are for
    @param entries Tag and payload of each, as for enqueue
    @return Index of the first
    """
    count: uint256 = len(entries)
    assert count > 0, "ENTRY_COUNT"
    assert msg.value == count * PARAMETERS.entry_fee_wei, "ENTRY_FEE"
    first: uint256 = self.queue_length
    for i: uint256 in range(count, bound=MAX_ENTRIES_AT_ONCE):
        self._enqueue_forced(entries[i].tag, entries[i].payload)
    send(empty(address), msg.value)
    return first


@external
def announce(tag: uint256, payload: Bytes[MAX_PAYLOAD_BYTES]):
    """
    @notice The governor says in the open what is to change; the law holds it within ranges and steps
    @dev Touches no money, no root and no seat
    @param tag Which parameters, 22 or 23
    @param payload Their values
    """
    assert msg.sender == PARAMETERS.governor, "NOT_GOVERNOR"
    assert tag >= FIRST_GOVERNOR_TAG and tag < FIRST_ENTRY_TAG + ENTRY_TAGS, "ENTRY_TAG"
    self._check_length(tag, payload)
    announcement: bytes32 = self._announcement(tag, payload)
    assert self.announced_at[announcement] == 0, "ANNOUNCED"
    self.announced_at[announcement] = block.timestamp
    log Announced(
        announcement=announcement,
        enactable_at=block.timestamp + PARAMETERS.governance_delay_seconds,
        tag=tag,
        payload=payload,
    )


@external
def retract(announcement: bytes32):
    """
    @notice The governor takes an announcement back
    @param announcement Its hash
    """
    assert msg.sender == PARAMETERS.governor, "NOT_GOVERNOR"
    assert self.announced_at[announcement] != 0, "NOT_ANNOUNCED"
    self.announced_at[announcement] = 0
    log Retracted(announcement=announcement)


@external
@nonreentrant
def enact(tag: uint256, payload: Bytes[MAX_PAYLOAD_BYTES]) -> uint256:
    """
    @notice Queues what was announced long enough ago; anybody may
    @param tag As announced
    @param payload As announced
    @return Index of the queue entry
    """
    self._check_chain()
    assert self.frozen_at == 0, "FROZEN"
    announcement: bytes32 = self._announcement(tag, payload)
    announced_at: uint256 = self.announced_at[announcement]
    assert announced_at != 0, "NOT_ANNOUNCED"
    enactable_at: uint256 = announced_at + PARAMETERS.governance_delay_seconds
    assert block.timestamp >= enactable_at, "TOO_EARLY"
    # a late one can only be retracted and announced anew: nobody enacts what everybody has forgotten
    assert block.timestamp < enactable_at + ENACTMENT_SECONDS, "TOO_LATE"
    # the law would refuse a second step so early, and the announcement would be gone: here it waits
    subject: uint256 = tag << 8
    if tag == FIRST_GOVERNOR_TAG:
        subject = subject | convert(slice(payload, 0, 1), uint256)
    enacted_at: uint256 = self.enacted_at[subject]
    assert enacted_at == 0 or block.timestamp >= enacted_at + PARAMETER_PERIOD_SECONDS, "TOO_SOON"
    self.enacted_at[subject] = block.timestamp
    self.announced_at[announcement] = 0
    return self._enqueue_entry(tag, PARAMETERS.governor, payload)


@internal
def _enqueue_forced(tag: uint256, payload: Bytes[MAX_PAYLOAD_BYTES]) -> uint256:
    self._check_chain()
    assert self.frozen_at == 0, "FROZEN"
    assert tag >= FIRST_ENTRY_TAG and tag < FIRST_GOVERNOR_TAG, "ENTRY_TAG"
    self._check_length(tag, payload)
    return self._enqueue_entry(tag, msg.sender, payload)


@pure
@internal
def _check_length(tag: uint256, payload: Bytes[MAX_PAYLOAD_BYTES]):
    length: uint256 = ENTRY_LENGTHS[tag - FIRST_ENTRY_TAG]
    if length == 0:
        # a tick says how many signers and markets it has in its last two bytes before them
        assert len(payload) >= TICK_HEAD_LENGTH, "ENTRY_LENGTH"
        signers: uint256 = convert(slice(payload, TICK_HEAD_LENGTH - 2, 1), uint256)
        markets: uint256 = convert(slice(payload, TICK_HEAD_LENGTH - 1, 1), uint256)
        assert signers <= MAX_TICK_SIGNERS and markets <= MAX_TICK_MARKETS, "ENTRY_LENGTH"
        length = TICK_HEAD_LENGTH + signers * (TICK_SIGNER_LENGTH + TICK_MARKET_LENGTH * markets)
    assert len(payload) == length, "ENTRY_LENGTH"


@internal
def _enqueue_entry(tag: uint256, sender: address, payload: Bytes[MAX_PAYLOAD_BYTES]) -> uint256:
    operation: Bytes[MAX_ENTRY_BYTES] = concat(
        convert(convert(tag, uint8), bytes1),
        convert(sender, bytes20),
        convert(convert(block.timestamp * 1000, uint48), bytes6),
        convert(convert(len(payload), uint16), bytes2),
        payload,
    )
    return self._enqueue(operation, ENTRY_WEIGHTS_KILOGAS[tag - FIRST_ENTRY_TAG])


@view
@internal
def _announcement(tag: uint256, payload: Bytes[MAX_PAYLOAD_BYTES]) -> bytes32:
    return keccak256(abi_encode(tag, payload))


@internal
def _enqueue(operation: Bytes[MAX_ENTRY_BYTES], weight_kilogas: uint256) -> uint256:
    index: uint256 = self.queue_length
    chain_hash: bytes32 = keccak256(concat(self.chain_after[index], keccak256(operation)))
    # in units of a second over 600 kilogas: whole seconds would let the lightest entry add as much as the heaviest
    due: uint256 = block.timestamp * SPACING_UNIT_KILOGAS
    if index > 0:
        # due times are spaced by work, so that a flood never makes more overdue than the law can serve
        due = max(due, (self.times_of[index - 1] & (2**64 - 1)) + PARAMETERS.spacing_seconds * weight_kilogas)
    self.queue_length = index + 1
    self.chain_after[index + 1] = chain_hash
    self.times_of[index] = (block.timestamp << 64) | due
    log Enqueued(
        index=index,
        chain_hash=chain_hash,
        enqueued_at=block.timestamp,
        due_at=due // SPACING_UNIT_KILOGAS,
        operation=operation,
    )
    return index



@external
@payable
@nonreentrant
def take_seat(endpoint_url: String[MAX_URL_BYTES]) -> uint256:
    """
    @notice Takes an open seat for exactly the bond; anybody may, but who lost it over work owed within unseat_seconds
    @dev Not in the block in which a proof or a miss opened it: else a squatter undoes a lie of his own and is back in
         one transaction, with a new deadline and nobody in between
    @param endpoint_url Where the new sequencer answers
    @return Id of the bond
    """
    assert self._seat_is_open(), "SEAT_TAKEN"
    assert block.number > self.seat_opened_in, "SEAT_JUST_OPENED"
    bond_id: uint256 = self._new_bond(endpoint_url, 0)
    self._seat(bond_id)
    return bond_id


@external
@payable
@nonreentrant
def bond_ahead(endpoint_url: String[MAX_URL_BYTES], ahead_of: uint256) -> uint256:
    """
    @notice Pays exactly the bond ahead of a seat that its holder may hand over
    @dev withdraw_bond gives it back as long as it is not seated. Only the holder whom it names can seat it: else
         whoever takes the seat puts a stranger there, who does not serve and loses a quarter
    @param endpoint_url Where the sequencer would answer
    @param ahead_of Bond of the holder who may hand over to it
    @return Id of the bond
    """
    return self._new_bond(endpoint_url, ahead_of)


@external
@nonreentrant
def hand_over(successor: uint256):
    """
    @notice Seats somebody who has bonded ahead, in this transaction: nobody else can take the seat in between
    @dev Refused while work is owed, and for inclusion_seconds behind a batch that came so late, as `resign` is, and for
         the same reasons
    @param successor Id of the bond of who takes over
    """
    assert self.frozen_at == 0, "FROZEN"
    bond_id: uint256 = self.seat_bond_id
    assert not self._seat_is_open() and self.bonds[bond_id].holder == msg.sender, "NOT_SEAT_HOLDER"
    self._check_nothing_owed()
    # whole: neither slashed nor taken home, and no quarter of it lost
    assert successor != bond_id and self.bonds[successor].amount_wei == PARAMETERS.bond_wei, "BOND_AMOUNT"
    assert self.bonds[successor].ahead_of == bond_id, "NOT_AHEAD"
    log SeatResigned(holder=msg.sender, bond_id=bond_id, handover_at=block.timestamp)
    self._seat(successor)


@internal
@payable
def _new_bond(endpoint_url: String[MAX_URL_BYTES], ahead_of: uint256) -> uint256:
    assert self.frozen_at == 0, "FROZEN"
    assert msg.value == PARAMETERS.bond_wei, "BOND_AMOUNT"
    bond_id: uint256 = self.bond_count + 1
    self.bond_count = bond_id
    self.bonds[bond_id].holder = msg.sender
    self.bonds[bond_id].amount_wei = msg.value
    self.bonds[bond_id].ahead_of = ahead_of
    self.endpoint_of[bond_id] = endpoint_url
    return bond_id


@internal
def _seat(bond_id: uint256):
    holder: address = self.bonds[bond_id].holder
    lost_at: uint256 = self.lost_at[holder]
    # who let the seat go to waste leaves it to others first, or unseating and taking it back were one transaction
    assert lost_at == 0 or block.timestamp >= lost_at + PARAMETERS.unseat_seconds, "LOST_SEAT"
    self.seat_bond_id = bond_id
    self.seat_taken_at = block.timestamp
    self.seat_handover_at = 0
    self.endpoint_url = self.endpoint_of[bond_id]
    log SeatTaken(holder=holder, bond_id=bond_id, endpoint_url=self.endpoint_of[bond_id])


@view
@internal
def _check_nothing_owed():
    assert not self._is_work_owed(), "WORK_OWED"
    # A lie says that all is served: whoever could leave behind it would prove it himself, and a friend of his had
    # another full deadline, without a miss and with nobody in between. Whoever watches has this long to prove it first.
    assert block.timestamp >= self.owed_at + PARAMETERS.inclusion_seconds, "WAS_LATE"


@view
@internal
def _is_work_owed() -> bool:
    entry_index: uint256 = self._queue_count(self.tip)
    if entry_index >= self.queue_length:
        return False
    return block.timestamp >= self._due_at(entry_index) + PARAMETERS.inclusion_seconds


@internal
def _miss(holder: address) -> uint256:
    # Those within thirty days before it.
    before: uint256 = 0
    if block.timestamp < self.missed_at + MISS_MEMORY_SECONDS:
        before = self.misses
    self.misses = before + 1
    self.missed_at = block.timestamp
    self.lost_at[holder] = block.timestamp
    return before


@external
def resign(handover_at: uint256):
    """
    @notice Names the moment from which the seat is open; the holder commits until then
    @dev Refused while an entry is owed for longer than the inclusion time, measured from its own due time: else two
         friends could pass an idle seat to and fro and never be unseated
    @param handover_at L1 time in seconds, from now to at most inclusion_seconds ahead: who goes is no longer unseated
           for what he leaves, so that any longer notice were that much silence for nothing
    """
    bond_id: uint256 = self.seat_bond_id
    assert not self._seat_is_open() and self.bonds[bond_id].holder == msg.sender, "NOT_SEAT_HOLDER"
    assert self.seat_handover_at == 0, "ALREADY_RESIGNED"
    assert handover_at >= block.timestamp, "HANDOVER_TIME"
    assert handover_at <= block.timestamp + PARAMETERS.inclusion_seconds, "HANDOVER_TIME"
    self._check_nothing_owed()
    self.seat_handover_at = handover_at
    log SeatResigned(holder=msg.sender, bond_id=bond_id, handover_at=handover_at)


@external
@nonreentrant
def unseat():
    """
    @notice Opens the seat of a sequencer that left a due entry waiting too long, and burns a quarter of its bond,
            a half after one miss within thirty days. After two all of it is lost, but for who proves a lie of its
    @dev The clock starts at the latest of due time, roll-back and change of seat. Every miss halves the deadline for
         whoever comes next, down to the floor; seven days without a miss restore it
    """
    assert not self._seat_is_open(), "SEAT_OPEN"
    entry_index: uint256 = self._queue_count(self.tip)
    assert entry_index < self.queue_length, "NOTHING_OWED"
    assert block.timestamp >= self._unseat_at(entry_index), "TOO_EARLY"
    bond_id: uint256 = self.seat_bond_id
    holder: address = self.bonds[bond_id].holder
    misses: uint256 = self._miss(holder)
    burned_wei: uint256 = self.bonds[bond_id].amount_wei >> (MAX_DOUBLINGS - min(misses, MAX_DOUBLINGS))
    if misses >= MAX_DOUBLINGS:
        # What pays for a proof is lost as well, but not burned: else whoever is about to be unseated lies in the same
        # transaction, and nobody is paid for undoing it.
        burned_wei -= PARAMETERS.bond_wei // 2
        self.bonds[bond_id].slashed = True
    self.bonds[bond_id].amount_wei -= burned_wei
    self._open_seat()
    log SeatLost(
        holder=holder,
        bond_id=bond_id,
        entry_index=entry_index,
        burned_wei=burned_wei,
        misses=self.misses,
    )
    send(empty(address), burned_wei)


@external
@nonreentrant
def withdraw_bond(bond_id: uint256):
    """
    @notice Pays a bond back to its holder once none of the holder's batches is provable any more
    @param bond_id Bond of the caller, not seated
    """
    bond: Bond = self.bonds[bond_id]
    assert bond.holder == msg.sender, "NOT_BOND_HOLDER"
    assert bond_id != self.seat_bond_id or self._seat_is_open(), "SEATED"
    assert not self._is_provable_at(bond.last_batch_at), "BOND_LOCKED"
    assert bond.amount_wei > 0 and not bond.slashed, "NOTHING_LEFT"
    self.bonds[bond_id].amount_wei = 0
    if bond_id == self.seat_bond_id:
        # It was open before: nobody waits for another block.
        self._empty_seat()
    log BondWithdrawn(holder=msg.sender, bond_id=bond_id, amount_wei=bond.amount_wei)
    raw_call(msg.sender, b"", value=bond.amount_wei)


@external
def freeze():
    """
    @notice Stops commits and deposits for ever, because an entry stayed unserved for window + grace after it was due
    @dev Absolute from the due time: no change of seat and no roll-back moves it, or else friends passing the seat to
         and fro would lock all money for nothing. Proofs, claims and bonds go on
    """
    assert self.frozen_at == 0, "FROZEN"
    entry_index: uint256 = self._queue_count(self.tip)
    assert entry_index < self.queue_length, "NOTHING_OWED"
    assert block.timestamp >= self._freeze_at(entry_index), "TOO_EARLY"
    self.frozen_at = block.timestamp
    # nobody can serve a frozen queue, so nobody is to lose a bond over it any more
    self._open_seat()
    log Frozen(entry_index=entry_index, tip=self.tip, last_root=self.last_root_at[self.tip])



@external
def commit(
    parent_number: uint256,
    parent_hash: bytes32,
    bodies: DynArray[Bytes[MAX_CHUNK_BYTES], MAX_CHUNKS],
    post_roots: DynArray[bytes32, MAX_CHUNKS],
    commitment: Commitment,
) -> bytes32:
    """
    @notice Posts a batch on top of the tip; its bytes are logged, so nobody needs transaction input
    @dev Opens the last post-root: whatever is in the root is taken from there and from nowhere else
    @param parent_number Number of the tip
    @param parent_hash Batch hash of the tip
    @param bodies Bytes of each chunk
    @param post_roots State root after each chunk
    @param commitment The nine words behind the last post-root
    @return Batch hash
    """
    self._check_chain()
    assert self.frozen_at == 0, "FROZEN"
    bond_id: uint256 = self.seat_bond_id
    assert not self._seat_is_open() and self.bonds[bond_id].holder == msg.sender, "NOT_SEAT_HOLDER"
    assert parent_number == self.tip and parent_hash == self.hash_at[parent_number], "PARENT"
    count: uint256 = len(bodies)
    assert count > 0 and count == len(post_roots), "CHUNK_COUNT"

    assert commitment.law_version == LAW_VERSION, "LAW_VERSION"
    last_root: bytes32 = keccak256(abi_encode(commitment))
    assert last_root == post_roots[count - 1], "COMMITMENT"
    assert commitment.timestamp_ms <= block.timestamp * 1000, "TIMESTAMP_AHEAD"
    # of the first chunk: a batch that begins within the lag and jumps at its end would put new times behind old trades
    first_ms: uint256 = self._stated_time(bodies[0]) % QUEUE_ONLY_BIT
    assert first_ms + PARAMETERS.max_lag_seconds * 1000 >= block.timestamp * 1000, "TIMESTAMP_BEHIND"

    parent: BatchRecord = self._record(parent_number)
    assert commitment.withdrawn_total_micros >= parent.withdrawn_total_micros, "WITHDRAWN_TOTAL"
    assert commitment.withdrawn_total_micros < 2**80, "WITHDRAWN_TOTAL"
    assert commitment.queue_count >= parent.queue_count, "QUEUE_COUNT"
    # what is begun and not done is in the chain, and still owed
    assert commitment.queue_taken >= commitment.queue_count, "QUEUE_COUNT"
    assert commitment.queue_taken <= self.queue_length, "QUEUE_COUNT"
    assert commitment.queue_hash == self.chain_after[commitment.queue_taken], "QUEUE_HASH"
    is_late: bool = False
    if parent.queue_count < self.queue_length:
        # What the parent owed decides, in L2 time: a sealed batch stays legal while L1 is congested, and no order
        # within it puts anything in front of an entry that waited too long. A late batch serves the queue alone, and no
        # other one does in any chunk: money does not age by their time, so nobody may let time pass in them at will.
        late_at: uint256 = self._enqueued_at(parent.queue_count) + PARAMETERS.inclusion_seconds
        is_late = commitment.timestamp_ms >= late_at * 1000

    pairs: DynArray[Pair, MAX_CHUNKS] = []
    for i: uint256 in range(count, bound=MAX_CHUNKS):
        stated: uint256 = self._stated_time(bodies[i])
        assert is_late == (stated >= QUEUE_ONLY_BIT), "INCLUSION"
        pairs.append(Pair(body_hash=keccak256(bodies[i]), post_root=post_roots[i]))
    number: uint256 = parent_number + 1
    batch_hash: bytes32 = self._batch_hash(
        Header(
            number=number,
            parent_hash=parent_hash,
            rollback_counter=self.rollback_counter,
            committer=msg.sender,
        ),
        pairs,
    )
    if self._is_work_owed():
        self.owed_at = block.timestamp
    self.tip = number
    self.hash_at[number] = batch_hash
    self.last_root_at[number] = last_root
    self.packed_at[number] = (
        (bond_id << 224)
        | (block.timestamp << 184)
        | (commitment.queue_count << 144)
        | (commitment.withdrawn_total_micros << 64)
    )
    self.bonds[bond_id].last_batch_at = block.timestamp
    log BatchCommitted(
        number=number,
        batch_hash=batch_hash,
        committer=msg.sender,
        parent_hash=parent_hash,
        rollback_counter=self.rollback_counter,
        bond_id=bond_id,
        committed_at=block.timestamp,
        commitment=commitment,
        bodies=bodies,
        post_roots=post_roots,
    )
    return batch_hash


@external
@nonreentrant
def prove_fraud(
    header: Header,
    pairs: DynArray[Pair, MAX_CHUNKS],
    chunk_index: uint256,
    body: Bytes[MAX_CHUNK_BYTES],
    witness: Bytes[MAX_WITNESS_BYTES],
):
    """
    @notice Undoes a batch, and all that follow it, by replaying one of its chunks: no bond, no clock, no second move
    @dev Costs the same whatever follows the batch. A referee that reverts or starves makes this revert: only an
         answer that differs is fraud. Followers of the batch are dropped, not slashed
    @param header Number, parent hash, roll-back counter and committer, as they were logged
    @param pairs Hash of the bytes and post-root of every chunk
    @param chunk_index Which chunk is wrong
    @param body The bytes of that chunk
    @param witness What the referee needs to replay it
    """
    assert msg.gas >= PARAMETERS.proof_gas_floor, "GAS_FLOOR"
    self._check_chain()
    number: uint256 = header.number
    assert number > 0 and number <= self.tip, "NOT_CANONICAL"
    batch_hash: bytes32 = self._batch_hash(header, pairs)
    assert batch_hash == self.hash_at[number], "NOT_CANONICAL"
    record: BatchRecord = self._record(number)
    assert self._is_provable_at(record.committed_at), "FINAL"
    assert chunk_index < len(pairs), "CHUNK_INDEX"
    claimed: Pair = pairs[chunk_index]
    assert keccak256(body) == claimed.body_hash, "BODY"

    # bound by index: the one root that precedes this chunk, never any earlier one
    pre_root: bytes32 = self.last_root_at[number - 1]
    if chunk_index > 0:
        pre_root = pairs[chunk_index - 1].post_root
    replayed_root: bytes32 = staticcall IReferee(REFEREE).replay(DOMAIN_SEPARATOR, pre_root, body, witness)
    assert replayed_root != claimed.post_root, "HONEST_CHUNK"

    self.tip = number - 1
    self.rollback_counter += 1
    self.rolled_back_at = block.timestamp
    bond: Bond = self.bonds[record.bond_id]
    # The same for every proof, whatever a miss has burned of the bond.
    reward_wei: uint256 = min(bond.amount_wei, PARAMETERS.bond_wei // 2)
    burned_wei: uint256 = bond.amount_wei - reward_wei
    # A second proof against one bond is always of an earlier batch, since a slashed bond commits nothing more. It takes
    # the reward over: else a thief proves a decoy of his own on top of the theft and leaves no reward for the theft.
    # No reward leaves before the parent is past its window, hence before any earlier batch can still be proven.
    bond.reward_wei += reward_wei
    bond.amount_wei = 0
    bond.slashed = True
    bond.prover = msg.sender
    bond.release_at = self._final_at(number - 1)
    self.bonds[record.bond_id] = bond
    if record.bond_id == self.seat_bond_id:
        # Whoever would be unseated cannot have himself slashed instead, without a miss.
        if self._is_work_owed():
            self._miss(bond.holder)
        self._open_seat()
    log RolledBack(
        number=number,
        batch_hash=batch_hash,
        prover=msg.sender,
        chunk_index=chunk_index,
        claimed_root=claimed.post_root,
        replayed_root=replayed_root,
        rollback_counter=self.rollback_counter,
        bond_id=record.bond_id,
        burned_wei=burned_wei,
        reward_wei=bond.reward_wei,
        release_at=bond.release_at,
    )
    send(empty(address), burned_wei)


@external
@nonreentrant
def collect_reward(bond_id: uint256):
    """
    @notice Pays the reward of a proof to its prover, once the parent of the proven batch is past its window
    @dev Anybody may trigger it; a prover that refuses ether harms nobody else
    @param bond_id The slashed bond
    """
    bond: Bond = self.bonds[bond_id]
    assert bond.reward_wei > 0, "NOTHING_LEFT"
    assert block.timestamp >= bond.release_at, "TOO_EARLY"
    self.bonds[bond_id].reward_wei = 0
    log RewardCollected(prover=bond.prover, bond_id=bond_id, amount_wei=bond.reward_wei)
    raw_call(bond.prover, b"", value=bond.reward_wei)



@external
@nonreentrant
def claim(
    batch_number: uint256,
    commitment: Commitment,
    index: uint256,
    recipient: address,
    amount_micros: uint256,
    proof: bytes32[WITHDRAWALS_DEPTH],
):
    """
    @notice Pays a withdrawal that stands in the withdrawals tree of a final batch; anybody may send it
    @dev A payee whom the token refuses blocks only his own claim
    @param batch_number A final batch whose tree holds the withdrawal
    @param commitment The nine words behind that batch's last root
    @param index Index of the withdrawal, below 2**32; each is paid once
    @param recipient Who gets the money
    @param amount_micros How much, in micro-dollars
    @param proof Sibling hashes from the leaf upwards; an empty subtree is zero
    """
    self._check_chain()
    assert batch_number <= self.tip, "NOT_CANONICAL"
    assert block.timestamp >= self._final_at(batch_number), "NOT_FINAL"
    assert keccak256(abi_encode(commitment)) == self.last_root_at[batch_number], "COMMITMENT"
    assert index < 2**WITHDRAWALS_DEPTH, "INDEX"
    word: uint256 = self.claimed_bits[index >> 8]
    bit: uint256 = 1 << (index & 255)
    assert word & bit == 0, "ALREADY_CLAIMED"

    # the tag makes a leaf 128 bytes long, so no leaf passes for a node
    node: bytes32 = keccak256(abi_encode(convert(1, uint256), index, recipient, amount_micros))
    for level: uint256 in range(WITHDRAWALS_DEPTH):
        if (index >> level) & 1 == 0:
            node = keccak256(concat(node, proof[level]))
        else:
            node = keccak256(concat(proof[level], node))
    assert node == commitment.withdrawals_root, "PROOF"

    self.claimed_bits[index >> 8] = word | bit
    self.claimed_total_micros += amount_micros
    # all paid withdrawals are leaves of the canonical tree, so their sum cannot pass the canonical total
    assert self.claimed_total_micros <= self._record(self.tip).withdrawn_total_micros, "WITHDRAWN_TOTAL"
    assert amount_micros <= self.vault_micros, "VAULT"
    self.vault_micros -= amount_micros
    log Claimed(index=index, recipient=recipient, amount_micros=amount_micros, batch_number=batch_number)
    assert extcall IERC20(TOKEN).transfer(recipient, amount_micros, default_return_value=True), "TOKEN"



@view
@external
def parameters() -> Parameters:
    """
    @notice What was fixed at deployment
    @return Times in seconds, bond in wei, smallest deposit in micro-dollars, gas floor of a proof
    """
    return PARAMETERS


@view
@external
def record(number: uint256) -> BatchRecord:
    """
    @notice What is stored of a canonical batch
    @param number At most tip
    @return The record; bond 0 and time 0 for genesis
    """
    assert number <= self.tip, "NOT_CANONICAL"
    return self._record(number)


@view
@external
def head() -> BatchRecord:
    """
    @notice The batch on which the next commit builds
    @return The record of the tip
    """
    return self._record(self.tip)


@view
@external
def is_canonical(number: uint256, batch_hash: bytes32) -> bool:
    """
    @notice Whether a batch stands
    @param number Number of the batch
    @param batch_hash Its hash
    @return True while no proof has undone it
    """
    return number <= self.tip and self.hash_at[number] == batch_hash


@view
@external
def final_number() -> uint256:
    """
    @notice The newest batch that nobody can prove wrong any more
    @dev Commit times grow with the number, hence a binary search
    @return Its number; 0 is genesis
    """
    low: uint256 = 0
    high: uint256 = self.tip
    for i: uint256 in range(64):
        if low == high:
            break
        middle: uint256 = (low + high + 1) // 2
        if block.timestamp >= self._final_at(middle):
            low = middle
        else:
            high = middle - 1
    return low


@view
@external
def final_at(number: uint256) -> uint256:
    """
    @notice When a canonical batch is, or was, past its window
    @param number At most tip
    @return L1 time in seconds; 0 for genesis
    """
    assert number <= self.tip, "NOT_CANONICAL"
    return self._final_at(number)


@view
@external
def queue_entry(index: uint256) -> QueueEntry:
    """
    @notice What is stored of a queue entry; its bytes are in the log
    @param index Below queue_length
    @return Hash chain after the entry, time of arrival and due time in seconds
    """
    assert index < self.queue_length, "QUEUE_INDEX"
    return QueueEntry(
        chain_hash=self.chain_after[index + 1],
        enqueued_at=self._enqueued_at(index),
        due_at=self._due_at(index),
    )


@view
@external
def queue_hash(count: uint256) -> bytes32:
    """
    @notice The hash chain after so many entries
    @param count At most queue_length
    @return The hash; zero for an empty queue
    """
    assert count <= self.queue_length, "QUEUE_INDEX"
    return self.chain_after[count]


@view
@external
def deadlines() -> Deadlines:
    """
    @notice When the oldest entry that the tip has not consumed costs the seat, and when it freezes the bridge
    @dev The moment of unseat moves with roll-backs, changes of seat and misses; freeze_at never moves
    @return Index of the entry and times in seconds; all times 0 while nothing waits
    """
    entry_index: uint256 = self._queue_count(self.tip)
    if entry_index == self.queue_length:
        return Deadlines(entry_index=entry_index, due_at=0, unseat_at=0, freeze_at=0)
    return Deadlines(
        entry_index=entry_index,
        due_at=self._due_at(entry_index),
        unseat_at=self._unseat_at(entry_index),
        freeze_at=self._freeze_at(entry_index),
    )


@view
@external
def seat() -> Seat:
    """
    @notice Who may commit now
    @return Holder, bond, since when, and from when it is open (0: not resigned); all zero while it is open
    """
    if self._seat_is_open():
        return empty(Seat)
    return Seat(
        holder=self.bonds[self.seat_bond_id].holder,
        bond_id=self.seat_bond_id,
        taken_at=self.seat_taken_at,
        handover_at=self.seat_handover_at,
    )


@view
@external
def bond(bond_id: uint256) -> Bond:
    """
    @notice A bond and the reward that a proof made of it
    @param bond_id From 1 to bond_count
    @return Holder, what is left in wei, time of the last batch, and prover, reward and release time once slashed
    """
    return self.bonds[bond_id]


@view
@external
def is_claimed(index: uint256) -> bool:
    """
    @notice Whether a withdrawal has been paid
    @param index Index of the withdrawal
    @return True once it is paid
    """
    return (self.claimed_bits[index >> 8] >> (index & 255)) & 1 == 1



@pure
@internal
def _stated_time(body: Bytes[MAX_CHUNK_BYTES]) -> uint256:
    assert len(body) >= CHUNK_TIME_BYTES, "CHUNK_TIME"
    return convert(slice(body, 0, CHUNK_TIME_BYTES), uint256)


@view
@internal
def _check_chain():
    # on a split chain old batches could not be judged under the fixed domain: nothing may move there
    assert chain.id == CHAIN_ID, "CHAIN_ID"


@view
@internal
def _batch_hash(header: Header, pairs: DynArray[Pair, MAX_CHUNKS]) -> bytes32:
    encoded: Bytes[64 + 64 * MAX_CHUNKS] = abi_encode(pairs)
    # the first two words are offset and length; what is hashed is the pairs' words alone
    pairs_hash: bytes32 = keccak256(slice(encoded, 64, 64 * len(pairs)))
    return keccak256(
        abi_encode(
            CHAIN_ID,
            self,
            header.number,
            header.parent_hash,
            header.rollback_counter,
            header.committer,
            pairs_hash,
        )
    )


@view
@internal
def _record(number: uint256) -> BatchRecord:
    packed: uint256 = self.packed_at[number]
    return BatchRecord(
        number=number,
        batch_hash=self.hash_at[number],
        last_root=self.last_root_at[number],
        bond_id=packed >> 224,
        committed_at=(packed >> 184) & (2**40 - 1),
        queue_count=(packed >> 144) & (2**40 - 1),
        withdrawn_total_micros=(packed >> 64) & (2**80 - 1),
    )


@view
@internal
def _queue_count(number: uint256) -> uint256:
    return (self.packed_at[number] >> 144) & (2**40 - 1)


@view
@internal
def _is_provable_at(committed_at: uint256) -> bool:
    return block.timestamp < committed_at + PARAMETERS.window_seconds


@view
@internal
def _final_at(number: uint256) -> uint256:
    if number == 0:
        return 0
    return ((self.packed_at[number] >> 184) & (2**40 - 1)) + PARAMETERS.window_seconds


@view
@internal
def _enqueued_at(index: uint256) -> uint256:
    return self.times_of[index] >> 64


@view
@internal
def _due_at(index: uint256) -> uint256:
    return (self.times_of[index] & (2**64 - 1)) // SPACING_UNIT_KILOGAS


@view
@internal
def _recent_misses() -> uint256:
    if block.timestamp >= self.missed_at + MISS_RECOVERY_SECONDS:
        return 0
    return self.misses


@view
@internal
def _unseat_at(entry_index: uint256) -> uint256:
    start: uint256 = max(self._due_at(entry_index), max(self.rolled_back_at, self.seat_taken_at))
    halvings: uint256 = min(self._recent_misses(), MAX_HALVINGS)
    return start + max(PARAMETERS.unseat_seconds >> halvings, PARAMETERS.unseat_floor_seconds)


@view
@internal
def _freeze_at(entry_index: uint256) -> uint256:
    return self._due_at(entry_index) + PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds


@view
@internal
def _seat_is_open() -> bool:
    if self.seat_bond_id == 0:
        return True
    return self.seat_handover_at != 0 and block.timestamp >= self.seat_handover_at


@internal
def _empty_seat():
    self.seat_bond_id = 0
    self.seat_handover_at = 0


@internal
def _open_seat():
    self._empty_seat()
    self.seat_opened_in = block.number

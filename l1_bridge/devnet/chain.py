"""The embedded L1's engine: py-evm behind eth-tester, wall-clock blocks, a chain that continues where its datadir ends.

Time. Blocks must have strictly increasing timestamps of whole seconds, and a chain that mines on every transaction
would soon run ahead of the clock. So a block is sealed at once only while its timestamp is at most
`max_ahead_seconds` ahead of the wall clock; otherwise it stays open, gathers transactions, and `tick` seals it.
Empty blocks keep time passing: one every `block_period_seconds`, and one every twelve seconds once nobody has sent a
transaction for five minutes, because a stored second costs about 1 kB.

History. `history_blocks` at least are kept, twice as many at most: of older blocks only what stays for ever (see
`database`), and whoever asks for more is refused by the code that EIP-4444 has led to. The newest state is whole at any
time: before a generation goes, whatever of it the state still refers to is copied, a piece at each `tidy`.

Threads. One lock serialises writers. Readers take no lock: they work on an immutable header, and state is addressed
by content, so a long `eth_call` holds up nobody's reads.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any

import msgspec
import rlp  # type: ignore[import-untyped]
from eth._utils.address import generate_contract_address
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.exceptions import HeaderNotFound, InsufficientFunds, Revert, VMError
from eth.vm.message import Message
from eth.vm.spoof import SpoofTransaction
from eth_keys.datatypes import PrivateKey
from eth_tester.backends.pyevm import PyEVMBackend
from eth_typing import Address
from eth_utils.exceptions import ValidationError
from trie.utils.nibbles import decode_nibbles, is_nibbles_terminated

from l1_bridge.client.errors import revert_reason
from l1_bridge.client.keys import DEVELOPMENT_KEYS
from l1_bridge.client.sending import floor_gas
from l1_bridge.devnet.database import ChainDatabase, DatadirError, LogRow

# py-evm's abstract types lack what the newer forks added (base fee, type 4 fields, requests hash).
Header = Any
Transaction = Any
EvmReceipt = Any
Chain = Any

BLOCK_GAS_LIMIT = 60_000_000
# EIP-7825: no transaction may take more than 2**24 gas.
TRANSACTION_GAS_LIMIT = 1 << 24
DEVELOPMENT_BALANCE_WEI = 10_000 * 10**18
PRIORITY_FEE_WEI = 10**9
IDLE_AFTER_SECONDS = 300
IDLE_PERIOD_SECONDS = 12
BLOB_TRANSACTION_TYPE = 3
# EIP-3860: twice the largest runtime code.
INITCODE_LIMIT_BYTES = 49_152
# As geth says that it does not have what is older any more.
PRUNED = 4444
# The EVM may ask for the hashes of so many: what is needed to go on is never older.
LEAST_HISTORY_BLOCKS = 256
_SCHEMA = b"2"
# Of the state, copied at once.
_NODES_AT_ONCE = 500
# Sixteen children and a value; every other node is a pair.
_BRANCH_LENGTH = 17


class RefusedError(Exception):
    """A request the chain refuses: JSON-RPC code, sentence, and revert data where there is any."""

    def __init__(self, code: int, message: str, data: bytes | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def quantity(value: int) -> str:
    """JSON-RPC quantity."""
    return hex(value)


def data_hex(value: bytes) -> str:
    """JSON-RPC data."""
    return "0x" + value.hex()


class Call(msgspec.Struct, frozen=True):
    """What eth_call and eth_estimateGas execute; `gas` includes the intrinsic gas."""

    sender: bytes
    to: bytes
    data: bytes
    value: int
    gas: int


class CallResult(msgspec.Struct, frozen=True):
    """Outcome of a simulated transaction."""

    output: bytes
    error: Exception | None
    gas_used: int
    gas_used_before_refund: int


def steady_clock(wall: Callable[[], float], monotonic: Callable[[], float]) -> Callable[[], float]:
    """Seconds since 1970 that begin right and go on by the monotonic clock.

    A block that was made while the machine's clock stood an hour ahead would hold L1's time there for ever.
    """
    ahead = wall() - monotonic()
    return lambda: monotonic() + ahead


def _since_boot() -> float:
    """Seconds that nobody sets, those that the machine slept included where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class DevnetChain:
    """One chain in one database; `send` and `tick` write, everything else only reads."""

    def __init__(
        self,
        database: ChainDatabase,
        chain_id: int,
        *,
        block_period_seconds: float = 1.0,
        max_ahead_seconds: int = 15,
        finality_depth: int = 2,
        history_blocks: int = LEAST_HISTORY_BLOCKS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Continue the database's chain or start one at the present time; raises DatadirError for a foreign chain."""
        assert history_blocks >= LEAST_HISTORY_BLOCKS, "nobody asks for less"
        clock = clock or steady_clock(time.time, _since_boot)
        self.chain_id = chain_id
        self.finality_depth = finality_depth
        self.database = database
        self._block_period_seconds = block_period_seconds
        self._max_ahead_seconds = max_ahead_seconds
        self._clock = clock
        self._writer = threading.Lock()
        self._chain = _open_chain(database, chain_id, int(clock()))
        self._head: Header = self._chain.get_canonical_head()
        self._open_header: Header | None = None
        self._open_transactions: dict[bytes, Transaction] = {}
        self._open_receipts: list[EvmReceipt] = []
        self._last_transaction_at = clock()
        self._header_by_number = {0: self._chain.get_canonical_block_header_by_number(0)}
        self._history_blocks = history_blocks
        # The block whose state is walked so that all of it stands in the newest generation, and what is left of that.
        self._walked_from = self._head.block_number
        self._walk = live_nodes(database, bytes(self._head.state_root))
        self._is_walked = not database.has_earlier

    @property
    def head(self) -> Header:
        """Header of the newest sealed block."""
        return self._head

    @property
    def genesis_hash(self) -> bytes:
        """Hash of block 0: what tells this chain from another devnet of the same id."""
        return bytes(self._header_by_number[0].hash)

    # Writing.

    def send(self, raw: bytes) -> bytes:
        """Apply one signed transaction and return its hash; RefusedError when it is not valid now."""
        transaction = self._decode(raw)
        transaction_hash = bytes(transaction.hash)
        with self._writer:
            if transaction_hash in self._open_transactions or self.database.transaction(transaction_hash) is not None:
                raise RefusedError(-32000, "already known")
            self._validate(transaction)
            if self._open_header is not None and self._open_header.gas_used + transaction.gas > BLOCK_GAS_LIMIT:
                self._seal()
            self._chain.header = self._open_header or self._next_header()
            try:
                block, receipt, _ = self._chain.apply_transaction(transaction)
            except (ValidationError, VMError) as error:
                raise RefusedError(-32000, str(error)) from None
            self._open_transactions[transaction_hash] = transaction
            self._open_receipts.append(receipt)
            self._open_header = block.header
            self._last_transaction_at = self._clock()
            if self._may_seal(block.header):
                self._seal()
        return transaction_hash

    def tick(self) -> None:
        """Let time pass: seal the open block when the clock allows it, or an empty one when its period is over."""
        with self._writer:
            if self._open_header is not None:
                if self._may_seal(self._open_header):
                    self._seal()
                return
            now = self._clock()
            idle = now - self._last_transaction_at > IDLE_AFTER_SECONDS
            period = max(self._block_period_seconds, IDLE_PERIOD_SECONDS) if idle else self._block_period_seconds
            if self._block_period_seconds > 0 and now >= self._head.timestamp + period:
                self._chain.header = self._open_header = self._next_header()
                self._seal()

    def close(self) -> None:
        """Wait for the writer, seal what is open, and release the database."""
        with self._writer:
            if self._open_transactions:
                self._seal()
            self.database.close()

    def _next_header(self) -> Header:
        timestamp = max(int(self._clock()), self._head.timestamp + 1)
        return self._chain.create_header_from_parent(self._head, timestamp=timestamp, mix_hash=os.urandom(32))

    def _may_seal(self, header: Header) -> bool:
        return bool(header.timestamp <= self._clock() + self._max_ahead_seconds)

    def _seal(self) -> None:
        transactions = list(self._open_transactions.values())
        receipts = self._open_receipts
        try:
            block = self._chain.mine_block()
            self._index(block.header, len(rlp.encode(block)), transactions, receipts)
            self.database.commit()
            self._head = block.header
            self._turn_over()
        except BaseException:
            self.database.discard()
            raise
        finally:
            self._open_header, self._open_transactions, self._open_receipts = None, {}, []

    def _turn_over(self) -> None:
        """Ends the generation before the newest once nobody needs it, and begins the next."""
        number = self._head.block_number
        if number + 1 - self.database.since < self._history_blocks:
            return
        if self.database.has_earlier:
            # A walk that began anew, in a later run, says nothing of the states before the one that it began with.
            if not self._is_walked or number - self._walked_from < LEAST_HISTORY_BLOCKS:
                return
            self.database.drop()
        self.database.turn(number + 1)
        self._walked_from, self._is_walked = number, False
        self._walk = live_nodes(self.database, bytes(self._head.state_root))

    def tidy(self) -> None:
        """A piece of what keeps history short; by one thread alone, beside writers and readers."""
        walk = self._walk
        if not self._is_walked:
            keys = list(islice(walk, _NODES_AT_ONCE))
            self.database.copy(keys)
            if len(keys) < _NODES_AT_ONCE:
                with self._writer:
                    self._is_walked = walk is self._walk
        self.database.sweep()

    def require_history(self, first_block: int, addresses: Collection[bytes], first_topics: Collection[bytes]) -> None:
        """RefusedError where logs that are asked for from a block on may have been dropped."""
        kept = self.database.first_block
        if first_block < kept and self.database.has_dropped(addresses, first_topics):
            raise _pruned(first_block, kept)

    def _index(
        self,
        header: Header,
        size: int,
        transactions: list[Transaction],
        receipts: list[EvmReceipt],
    ) -> None:
        if not transactions:
            return
        self.database.put_block_body(header.block_number, size, [bytes(item.hash) for item in transactions])
        gas_before = log_index = 0
        for index, (transaction, receipt) in enumerate(zip(transactions, receipts, strict=True)):
            place = {
                "blockHash": data_hex(header.hash),
                "blockNumber": quantity(header.block_number),
                "transactionHash": data_hex(transaction.hash),
                "transactionIndex": quantity(index),
            }
            logs = []
            for log in receipt.logs:
                topics = [topic.to_bytes(32, "big") for topic in log.topics]
                logs.append(
                    place
                    | {
                        "address": data_hex(log.address),
                        "topics": [data_hex(topic) for topic in topics],
                        "data": data_hex(log.data),
                        "logIndex": quantity(log_index),
                        "removed": False,
                    }
                )
                row = LogRow.of(log.address, topics, msgspec.json.encode(logs[-1]))
                self.database.put_log(header.block_number, log_index, row)
                log_index += 1
            created = None if transaction.to else data_hex(_contract_address(transaction.sender, transaction.nonce))
            rendered = render_transaction(transaction, header, index)
            answer = place | {
                "type": rendered["type"],
                "from": rendered["from"],
                "to": rendered["to"],
                "contractAddress": created,
                "status": quantity(int.from_bytes(receipt.state_root, "big")),
                "cumulativeGasUsed": quantity(receipt.gas_used),
                "gasUsed": quantity(receipt.gas_used - gas_before),
                "effectiveGasPrice": rendered["gasPrice"],
                "logs": logs,
                "logsBloom": data_hex(receipt.bloom.to_bytes(256, "big")),
            }
            gas_before = receipt.gas_used
            self.database.put_transaction(
                bytes(transaction.hash),
                msgspec.json.encode(rendered),
                msgspec.json.encode(answer),
                is_kept=not transaction.to,
            )

    def _decode(self, raw: bytes) -> Transaction:
        if raw[:1] == bytes((BLOB_TRANSACTION_TYPE,)):
            raise RefusedError(-32000, "blob transactions are not supported by the embedded L1")
        try:
            transaction = self._chain.get_vm(self._head).get_transaction_builder().decode(raw)
            transaction.validate()
            transaction.check_signature_validity()
            assert len(transaction.sender) == 20
        except Exception as error:
            # The decoder lets many kinds of exception through, all of them the sender's fault.
            raise RefusedError(-32000, f"transaction is not valid: {type(error).__name__}: {error}"[:300]) from None
        return transaction

    def _validate(self, transaction: Transaction) -> None:
        if transaction.chain_id not in (self.chain_id, None):
            raise RefusedError(-32000, f"invalid chain id for signer: have {transaction.chain_id} want {self.chain_id}")
        if transaction.gas > TRANSACTION_GAS_LIMIT:
            raise RefusedError(
                -32000, f"transaction gas limit too high (cap: {TRANSACTION_GAS_LIMIT}, tx: {transaction.gas})"
            )
        _check_initcode(transaction.to, transaction.data)
        floor = floor_gas(transaction.data)
        if transaction.gas < max(floor, transaction.intrinsic_gas):
            raise RefusedError(
                -32000,
                f"intrinsic gas too low: gas {transaction.gas}, minimum needed {max(floor, transaction.intrinsic_gas)}",
            )
        state = self._chain.get_vm(self.pending_header()).state
        nonce = state.get_nonce(transaction.sender)
        if transaction.nonce != nonce:
            relation = "low" if transaction.nonce < nonce else "high"
            raise RefusedError(-32000, f"nonce too {relation}: next nonce {nonce}, tx nonce {transaction.nonce}")
        base_fee = self.pending_header().base_fee_per_gas
        if transaction.max_fee_per_gas < base_fee:
            raise RefusedError(
                -32000,
                "max fee per gas less than block base fee: "
                f"maxFeePerGas: {transaction.max_fee_per_gas}, baseFee: {base_fee}",
            )
        cost = transaction.value + transaction.gas * transaction.max_fee_per_gas
        balance = state.get_balance(transaction.sender)
        if balance < cost:
            raise RefusedError(-32000, f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")

    # Reading.

    def pending_header(self) -> Header:
        """Header a transaction sent now would run under: the open block's, or the next at wall-clock time."""
        return self._open_header or self._next_header()

    def header(self, number: int) -> Header | None:
        """Sealed header by number; RefusedError for one that is not kept any more."""
        if number == self._head.block_number:
            return self._head
        try:
            found = self._chain.get_canonical_block_header_by_number(number)
        except HeaderNotFound:
            found = None
        # Looked at last: what was dropped meanwhile may have been missing above.
        kept = self.database.first_block
        if 0 < number < kept:
            raise _pruned(number, kept)
        return found

    def header_by_hash(self, block_hash: bytes) -> Header | None:
        """Sealed header by hash."""
        try:
            return self._chain.get_block_header_by_hash(block_hash)
        except HeaderNotFound:
            return None

    def empty_size(self, header: Header) -> int:
        """RLP bytes of a block without transactions: its header, three empty lists, and the outer list's three."""
        return len(rlp.encode(header)) + 6

    def open_transaction(self, transaction_hash: bytes) -> Transaction | None:
        """A transaction that waits in the open block."""
        return self._open_transactions.get(transaction_hash)

    def balance(self, header: Header, address: bytes) -> int:
        """Wei after the block."""
        return int(self._chain.get_vm(header).state.get_balance(address))

    def nonce(self, header: Header, address: bytes) -> int:
        """Transactions sent up to and with the block."""
        return int(self._chain.get_vm(header).state.get_nonce(address))

    def code(self, header: Header, address: bytes) -> bytes:
        """Runtime code after the block."""
        return bytes(self._chain.get_vm(header).state.get_code(address))

    def storage(self, header: Header, address: bytes, slot: int) -> int:
        """Storage word after the block."""
        return int(self._chain.get_vm(header).state.get_storage(address, slot))

    def execute(self, header: Header, call: Call) -> CallResult:
        """Run a call on the state after a block, free of charge; RefusedError when `gas` is below the intrinsic."""
        _check_initcode(call.to, call.data)
        state = self._chain.get_vm(header).state
        executor = state.get_transaction_executor()
        unsigned = self._chain.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=self.chain_id,
            nonce=state.get_nonce(call.sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=call.gas,
            to=call.to,
            value=call.value,
            data=call.data,
            access_list=(),
        )
        transaction: Any = SpoofTransaction(unsigned, from_=call.sender)
        needed = max(floor_gas(call.data), unsigned.intrinsic_gas)
        if call.gas < needed:
            raise RefusedError(-32000, f"intrinsic gas too low: gas {call.gas}, minimum needed {needed}")
        code, delegate = executor.get_code_at_address(call.to) if call.to else (call.data, None)
        # Message's own annotation leaves out that a call creates nothing.
        created: Any = None if call.to else _contract_address(call.sender, unsigned.nonce)
        message = Message(
            gas=call.gas - unsigned.intrinsic_gas,
            to=Address(call.to),
            sender=Address(call.sender),
            value=call.value,
            data=call.data if call.to else b"",
            code=code,
            create_address=created,
            is_delegation=delegate is not None,
        )
        state.increment_nonce(call.sender)
        try:
            computation = executor.build_computation(message, transaction)
        except InsufficientFunds:
            raise RefusedError(-32000, f"insufficient funds for transfer: value {call.value}") from None
        before_refund = call.gas - computation.get_gas_remaining()
        refund = executor.calculate_gas_refund(computation, before_refund)
        return CallResult(
            output=bytes(computation.output),
            error=computation.error if computation.is_error else None,
            gas_used=max(before_refund - refund, floor_gas(call.data)),
            gas_used_before_refund=max(before_refund, floor_gas(call.data)),
        )

    def estimate_gas(self, header: Header, call: Call) -> int:
        """Gas limit under which the call succeeds, at most 1.5% above the least; two executions in the usual case."""
        result = self.execute(header, call)
        if result.error is not None:
            raise revert_error(result)
        low, high, probe = result.gas_used_before_refund - 1, call.gas, result.gas_used_before_refund
        while low + 1 < high and (high - low) * 1000 > high * 15:
            trial = self.execute(header, msgspec.structs.replace(call, gas=probe))
            if trial.error is None:
                high = probe
            else:
                # What EIP-150 holds back from inner calls is missing from the gas used: next the bound that covers it.
                first = low < result.gas_used_before_refund
                low = probe
                if first:
                    probe = min(high, (probe + 2300) * 64 // 63)
                    continue
            probe = min((low + high) // 2, low * 2)
        return high


def live_nodes(database: ChainDatabase, state_root: bytes) -> Iterator[bytes]:
    """The keys of all that a state is made of: nodes of its tries, and contracts' code."""
    roots = [(state_root, True)]
    while roots:
        root, is_of_accounts = roots.pop()
        # Hashes of nodes, and nodes that are so short that they stand in their parents.
        found: list[Any] = [] if root == BLANK_ROOT_HASH else [root]
        while found:
            node = found.pop()
            if isinstance(node, bytes):
                yield node
                node = rlp.decode(database[node])
            if len(node) == _BRANCH_LENGTH:
                found += [child for child in node[:-1] if child]
            elif not is_nibbles_terminated(decode_nibbles(node[0])):
                found.append(node[1])
            elif is_of_accounts:
                _, _, storage_root, code_hash = rlp.decode(node[1])
                roots.append((storage_root, False))
                if code_hash != EMPTY_SHA3:
                    yield code_hash


def _pruned(number: int, kept: int) -> RefusedError:
    return RefusedError(PRUNED, f"pruned history unavailable: block {number} is before {kept}, the oldest that is kept")


def revert_error(result: CallResult) -> RefusedError:
    """JSON-RPC error of a failed execution: code 3 with the data for a revert, as geth and anvil answer."""
    if isinstance(result.error, Revert):
        reason = revert_reason(result.output)
        return RefusedError(3, f"execution reverted: {reason}" if reason else "execution reverted", result.output)
    name = type(result.error).__name__
    return RefusedError(-32000, "out of gas" if name == "OutOfGas" else f"{name}: {result.error}")


def _check_initcode(to: bytes, data: bytes) -> None:
    # py-evm raises for this outside of any computation, where nothing turns it into a refusal.
    if not to and len(data) > INITCODE_LIMIT_BYTES:
        raise RefusedError(-32000, f"max initcode size exceeded: code size {len(data)}, limit {INITCODE_LIMIT_BYTES}")


def render_transaction(transaction: Transaction, header: Header | None, index: int | None) -> dict[str, Any]:
    """A transaction as JSON-RPC answers it; header and index are None while it waits in the open block."""
    kind = int(getattr(transaction, "type_id", None) or 0)
    answer: dict[str, Any] = {
        "hash": data_hex(transaction.hash),
        "type": quantity(kind),
        "nonce": quantity(transaction.nonce),
        "blockHash": None if header is None else data_hex(header.hash),
        "blockNumber": None if header is None else quantity(header.block_number),
        "transactionIndex": None if index is None else quantity(index),
        "from": data_hex(transaction.sender),
        "to": data_hex(transaction.to) if transaction.to else None,
        "value": quantity(transaction.value),
        "gas": quantity(transaction.gas),
        "input": data_hex(transaction.data),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
    }
    if kind < 2:
        answer["gasPrice"] = quantity(transaction.gas_price)
    else:
        tip = min(
            transaction.max_priority_fee_per_gas,
            transaction.max_fee_per_gas - (header.base_fee_per_gas if header else 0),
        )
        answer["gasPrice"] = quantity(tip + header.base_fee_per_gas if header else transaction.max_fee_per_gas)
        answer["maxFeePerGas"] = quantity(transaction.max_fee_per_gas)
        answer["maxPriorityFeePerGas"] = quantity(transaction.max_priority_fee_per_gas)
    if kind == 0:
        answer["v"] = quantity(transaction.v)
        if transaction.chain_id is not None:
            answer["chainId"] = quantity(transaction.chain_id)
        return answer
    answer["chainId"] = quantity(transaction.chain_id)
    answer["v"] = answer["yParity"] = quantity(transaction.y_parity)
    answer["accessList"] = [
        {"address": data_hex(address), "storageKeys": [data_hex(slot.to_bytes(32, "big")) for slot in slots]}
        for address, slots in transaction.access_list
    ]
    return answer


def _contract_address(sender: bytes, nonce: int) -> bytes:
    return bytes(generate_contract_address(Address(sender), nonce))


def _open_chain(database: ChainDatabase, chain_id: int, now: int) -> Chain:
    stored = database.meta("chain_id")
    if stored is not None and stored != str(chain_id).encode():
        raise DatadirError(f"the datadir holds chain {stored.decode()}, not chain {chain_id}")
    if stored is not None and database.meta("schema") != _SCHEMA:
        raise DatadirError("the datadir was written by another version of the embedded L1")
    parameters = PyEVMBackend.generate_genesis_params({"timestamp": now, "gas_limit": BLOCK_GAS_LIMIT})
    account = {"balance": DEVELOPMENT_BALANCE_WEI, "nonce": 0, "code": b"", "storage": {}}
    state = {PrivateKey(key).public_key.to_canonical_address(): account for key in DEVELOPMENT_KEYS}
    # eth-tester makes a class for every chain, so this names no other chain's id.
    chain_class = type(PyEVMBackend(genesis_parameters=parameters, genesis_state=state).chain)
    chain_class.chain_id = chain_id
    if stored is not None:
        return chain_class(database)
    chain = chain_class.from_genesis(database, parameters, state)
    database.set_meta("chain_id", str(chain_id).encode())
    database.set_meta("schema", _SCHEMA)
    database.commit()
    database.founded()
    return chain

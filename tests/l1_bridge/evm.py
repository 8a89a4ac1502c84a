"""A fast EVM for contract tests: deploy, call as somebody at some time, logs, gas, typed reverts."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyrevm
from eth_abi.abi import decode

from l1_bridge.contracts.artifact import Artifact
from l1_bridge.hashing import keccak

DEVNET_CHAIN_ID = 31_337
GAS_LIMIT = 30_000_000
RICH_WEI = 10**24
_VARIABLES = 48
GENESIS_TIME = 1_800_000_000


class Reverted(Exception):
    """A call that did not succeed; `reason` is the contract's word, "" for a bare revert, or the halt's name."""

    def __init__(self, reason: str, gas_used: int, output: bytes) -> None:
        super().__init__(reason or "reverted without a reason")
        self.reason = reason
        self.gas_used = gas_used
        self.output = output


class Log(msgspec.Struct, frozen=True):
    """What a call logged, before any block holds it."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Receipt:
    """What a successful call left: returned bytes, logs in order, gas including the 21,000 of a transaction."""

    output: bytes
    logs: tuple[Log, ...]
    gas_used: int


def account(number: int) -> bytes:
    """A test account's address, away from the precompiles."""
    return b"\xac" + number.to_bytes(19, "big")


class Contract:
    """A deployed artifact: `send` changes the chain, `call` does not."""

    def __init__(self, evm: "Evm", artifact: Artifact, address: bytes) -> None:
        self.evm = evm
        self.artifact = artifact
        self.address = address

    def send(self, function: str, *arguments: Any, sender: bytes, value_wei: int = 0, gas: int = GAS_LIMIT) -> Receipt:
        """Sends a call; Reverted if it fails."""
        calldata = self.artifact.encode_call(function, *arguments)
        return self.evm.send(sender, self.address, calldata, value_wei=value_wei, gas=gas)

    def call(self, function: str, *arguments: Any, sender: bytes = account(0)) -> Any:
        """The one value that a view returns (a tuple of several), without a change of state."""
        return self.artifact.decode_result(function, self.call_raw(function, *arguments, sender=sender))

    def call_raw(self, function: str, *arguments: Any, sender: bytes = account(0)) -> bytes:
        """The bytes that a view returns."""
        return self.evm.call(sender, self.address, self.artifact.encode_call(function, *arguments))


class Evm:
    """One chain with its own clock: time and block number move only when a test says so."""

    def __init__(self, chain_id: int = DEVNET_CHAIN_ID, now: int = GENESIS_TIME) -> None:
        self.chain_id = chain_id
        # What is compiled for a test alone is not optimised, and larger than a chain would take.
        settings = pyrevm.CfgEnv(chain_id=chain_id, limit_contract_code_size=2**16)
        self._revm = pyrevm.EVM(env=pyrevm.Env(cfg=settings), gas_limit=GAS_LIMIT, spec_id="CANCUN")
        self._number = 0
        self.deployment_logs: tuple[Log, ...] = ()
        self.now = now

    @property
    def now(self) -> int:
        """L1 time in seconds."""
        return self._now

    @now.setter
    def now(self, seconds: int) -> None:
        self._now = seconds
        self._number += 1
        self._revm.set_block_env(pyrevm.BlockEnv(number=self._number, timestamp=seconds))

    def deploy(self, artifact: Artifact, *arguments: Any, sender: bytes = account(0)) -> Contract:
        """Deploys with constructor arguments; Reverted if the constructor refuses."""
        return Contract(self, artifact, self.deploy_code(artifact.creation_code(*arguments), sender=sender))

    def deploy_code(self, creation_code: bytes, *, sender: bytes = account(0)) -> bytes:
        """Deploys and gives the address; the constructor's logs stay in `deployment_logs`."""
        self._fund(sender)
        try:
            address = self._revm.deploy(_hex(sender), creation_code)
        except RuntimeError as error:
            raise _reverted(error) from None
        self.deployment_logs = self._logs()
        return bytes.fromhex(address[2:])

    def send(
        self, sender: bytes, to: bytes, calldata: bytes = b"", *, value_wei: int = 0, gas: int = GAS_LIMIT
    ) -> Receipt:
        """One transaction; Reverted if it fails, and then nothing has changed."""
        self._fund(sender)
        try:
            output = self._revm.message_call(_hex(sender), _hex(to), calldata=calldata, value=value_wei, gas=gas)
        except RuntimeError as error:
            raise _reverted(error) from None
        result = self._revm.result
        assert result is not None
        return Receipt(bytes(output), self._logs(), result.gas_used)

    def call(self, sender: bytes, to: bytes, calldata: bytes) -> bytes:
        """The output of a call whose changes are dropped."""
        with self.rolled_back():
            return self.send(sender, to, calldata).output

    def balance_wei(self, address: bytes) -> int:
        """Ether of an account."""
        return int(self._revm.get_balance(_hex(address)))

    def code(self, address: bytes) -> bytes:
        """Runtime code of an account."""
        # asked from inside, because the library pads the code that it has analysed
        reader = account(0xC0DE)
        with self.rolled_back():
            self.put_code(reader, bytes.fromhex("5f35803b805f5f843c5ff3"))
            return self.send(account(0), reader, bytes(12) + address).output

    def put_code(self, address: bytes, code: bytes) -> None:
        """Places code without a constructor, as on the other side of a chain split."""
        self._revm.insert_account_info(_hex(address), pyrevm.AccountInfo(code=code))

    def split(self, chain_id: int, *addresses: bytes) -> "Evm":
        """The other side of a chain split, with these contracts as they stand: code, ether and storage."""
        other = Evm(chain_id, self.now)
        for address in addresses:
            other.put_code(address, self.code(address))
            other._revm.set_balance(_hex(address), self.balance_wei(address))
            for slot, value in self._storage(address).items():
                other._revm.insert_account_storage(_hex(address), slot, value)
        return other

    def gas_in_a_block(self, sender: bytes, to: bytes, calldata: bytes, *others: bytes, keys: int) -> int | None:
        """Gas that a transaction must bring, refunds not counted, on py-evm over these contracts as they stand.

        There storage is cold and counts as old, as it is in a block of its own; here every call goes on from the last
        one. None if the most that a transaction may bring is too little.
        """
        # Here and not above: py-evm takes seconds to import, and most tests of contracts do without it.
        from eth.exceptions import OutOfGas
        from eth_tester.backends.pyevm import PyEVMBackend

        from l1_bridge.devnet.chain import TRANSACTION_GAS_LIMIT

        state = {
            address: {
                "balance": self.balance_wei(address),
                "nonce": 0,
                "code": self.code(address),
                "storage": self._storage(address, keys),
            }
            for address in (to, *others)
        }
        parameters = PyEVMBackend.generate_genesis_params({"timestamp": self.now, "gas_limit": GAS_LIMIT})
        chain = PyEVMBackend(genesis_parameters=parameters, genesis_state=state).chain
        type(chain).chain_id = self.chain_id
        intrinsic = 21_000 + sum(16 if byte else 4 for byte in calldata)
        computation = chain.get_vm(chain.get_canonical_block_header_by_number(0)).execute_bytecode(
            origin=sender,
            gas_price=0,
            gas=TRANSACTION_GAS_LIMIT - intrinsic,
            to=to,
            sender=sender,
            value=0,
            data=calldata,
            code=state[to]["code"],
        )
        if computation.is_error:
            if isinstance(computation.error, OutOfGas):
                return None
            raise Reverted(str(computation.error), computation.get_gas_used(), computation.output)
        return intrinsic + int(computation.get_gas_used())

    def _storage(self, address: bytes, keys: int = 8) -> dict[int, int]:
        """Plain variables and maps from numbers below `keys` as Vyper keeps them; of structs only those below 8."""
        found = {}
        for variable in range(_VARIABLES):
            slots = [variable]
            for key in range(keys):
                first = int.from_bytes(keccak(variable.to_bytes(32, "big") + key.to_bytes(32, "big")), "big")
                slots.extend(range(first, first + (8 if key < 8 else 1)))
            for slot in slots:
                if value := self._revm.storage(_hex(address), slot):
                    found[slot] = value
        return found

    @contextmanager
    def rolled_back(self) -> Iterator[None]:
        """Drops whatever happens inside, time included."""
        checkpoint, now = self._revm.snapshot(), self._now
        try:
            yield
        finally:
            self._revm.revert(checkpoint)
            if self._now != now:
                self.now = now

    def _logs(self) -> tuple[Log, ...]:
        result = self._revm.result
        assert result is not None
        return tuple(
            Log(
                bytes.fromhex(log.address[2:]),
                tuple(bytes.fromhex(topic[2:]) for topic in log.topics),
                bytes(log.data[1]) if isinstance(log.data, tuple) else bytes(log.data),
            )
            for log in result.logs
        )

    def _fund(self, address: bytes) -> None:
        if self._revm.get_balance(_hex(address)) < RICH_WEI // 2:
            self._revm.set_balance(_hex(address), RICH_WEI)


def compile_stub(name: str) -> Artifact:
    """Compiles a contract that stands beside the tests of this room."""
    from l1_bridge.contracts.compile import compile_to_artifact

    return compile_to_artifact(Path(__file__).parent / f"{name}.vy")


def compile_without(rules: Mapping[str, str], root: Path) -> Artifact:
    """The bridge with some of its lines replaced, compiled under an empty directory: what the rules are good for."""
    from l1_bridge.contracts.compile import ROOT, compile_to_artifact

    contracts = Path("l1_bridge", "contracts")
    shutil.copytree(ROOT / contracts / "interfaces", root / contracts / "interfaces")
    text = (ROOT / contracts / "RollupBridge.vy").read_text()
    for rule, instead in rules.items():
        assert text.count(rule) == 1, f"not one line reads {rule!r}"
        text = text.replace(rule, instead)
    source = root / contracts / "RollupBridge.vy"
    source.write_text(text)
    return compile_to_artifact(source, root, "none")


def _hex(address: bytes) -> str:
    return "0x" + address.hex()


def _reverted(error: RuntimeError) -> Reverted:
    text = str(error)
    head, _, rest = text.partition("{")
    if not head.startswith(("Revert", "Halt")):
        return Reverted(text, 0, b"")
    gas_used = int(rest.partition("gas_used:")[2].partition(",")[0].strip(" }"))
    if head.startswith("Halt"):
        return Reverted(rest.partition("reason:")[2].partition(",")[0].strip(), gas_used, b"")
    output = bytes.fromhex(rest.partition("output: 0x")[2].strip(" }"))
    reason = ""
    if output[:4] == bytes.fromhex("08c379a0"):  # Error(string)
        reason = decode(["string"], output[4:])[0]
    return Reverted(reason, gas_used, output)

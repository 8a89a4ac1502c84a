"""The rollup on L1: deploying its contracts, and reading one back only if it runs the shipped code."""

from typing import Any, Final

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Reverted, L1Unavailable
from l1_bridge.client.keys import Signer
from l1_bridge.codec import batch, calls, events
from l1_bridge.contracts.artifact import Artifact, ArtifactError, bridge_artifact, load_artifact
from prover.contracts import referee
from prover.state.state import genesis_commitment
from prover.stf import encoding

# 24,576 bytes at 200 gas each, creation code at up to 16 gas a byte, and the genesis is logged.
_DEPLOY_GAS: Final = 12_000_000
# Of the token, which the bridge itself never asks.
TOKEN_DECIMALS: Final = 6

# Where the bridge takes short windows, and money is play money.
DEVNET_CHAINS: Final = (31_337, 1_337)
DEVNET_PARAMETERS: Final = calls.Parameters(
    window_seconds=30,
    inclusion_seconds=3_600,
    max_lag_seconds=3_600,
    unseat_seconds=86_400,
    unseat_floor_seconds=7_200,
    freeze_grace_seconds=604_800,
    spacing_seconds=1,
    bond_wei=20 * 10**18,
    minimum_deposit_micros=1_000_000,
    proof_gas_floor=2_000_000,
    entry_fee_wei=10**14,
    governor=bytes(20),
    governance_delay_seconds=30,
)


class WrongContracts(Exception):
    """What stands on L1 is not the shipped code; nobody should sign anything for it."""


class Deployment(msgspec.Struct, frozen=True):
    """One rollup: addresses are 20 bytes, `block` is the L1 block of the bridge's creation where it is known."""

    chain_id: int
    bridge: bytes
    referee: bytes
    token: bytes
    block: int = 0

    @property
    def identity(self) -> batch.BridgeId:
        """Which bridge on which chain."""
        return batch.BridgeId(self.chain_id, self.bridge)

    @property
    def domain(self) -> bytes:
        """EIP-712 domain separator of everything signed for this rollup."""
        return self.identity.domain_separator()


class _Recorded(msgspec.Struct, frozen=True):
    chain_id: int
    rollup_address: str
    referee_address: str
    token_address: str
    genesis: str


class DeploymentRecord(msgspec.Struct, frozen=True):
    """A rollup as its node remembers it: where it stands, and its genesis bytes, for which no L1 has to be asked."""

    deployment: Deployment
    genesis: bytes

    @property
    def genesis_root(self) -> bytes:
        """The root that a bridge of this genesis begins with; ValueError unless the bytes are legal."""
        return encoding.state_root(genesis_commitment(self.genesis)[0])

    def encode(self) -> bytes:
        """A line of JSON."""
        at = self.deployment
        words = (word.hex() for word in (at.bridge, at.referee, at.token, self.genesis))
        return msgspec.json.encode(_Recorded(at.chain_id, *words))

    @classmethod
    def decode(cls, line: bytes) -> "DeploymentRecord":
        """Inverse of encode; ValueError for anything else."""
        found = msgspec.json.decode(line, type=_Recorded)
        bridge, referee_address, token, genesis = (
            bytes.fromhex(text)
            for text in (found.rollup_address, found.referee_address, found.token_address, found.genesis)
        )
        if any(len(address) != 20 for address in (bridge, referee_address, token)):
            raise ValueError("an address has 20 bytes")
        return cls(Deployment(found.chain_id, bridge, referee_address, token), genesis)


async def deploy(
    client: L1Client,
    signer: Signer,
    genesis: bytes,
    parameters: calls.Parameters = DEVNET_PARAMETERS,
    token: bytes | None = None,
) -> Deployment:
    """Deploys the law's contracts, the referee over them and the bridge; without `token` a test dollar first."""
    if token is None:
        token, _ = await client.deploy(signer, load_artifact("MockDollar").creation_code(), gas=_DEPLOY_GAS)
    families = []
    for name in referee.FAMILIES:
        address, _ = await client.deploy(signer, referee.artifact(name).bytecode, gas=_DEPLOY_GAS)
        families.append(address)
    creation = referee.artifact("FraudReferee").creation_code(*families)
    referee_address, _ = await client.deploy(signer, creation, gas=_DEPLOY_GAS)
    return await deploy_bridge(client, signer, genesis, parameters, token, referee_address)


async def deploy_bridge(
    client: L1Client, signer: Signer, genesis: bytes, parameters: calls.Parameters, token: bytes, law: bytes
) -> Deployment:
    """Deploys a bridge alone, over a token and a referee that stand. WrongContracts for a token of other decimals."""
    await _require_micros(client, token)
    commitment, _ = genesis_commitment(genesis)
    opened = batch.Commitment.decode(encoding.commitment_bytes(commitment))
    code = calls.encode_creation(token, law, parameters, opened, genesis)
    bridge, receipt = await client.deploy(signer, code, gas=_DEPLOY_GAS)
    return Deployment(await client.chain_id(), bridge, law, token, receipt.block_number)


async def read(client: L1Client, bridge: bytes) -> Deployment:
    """The rollup behind a bridge address; WrongContracts unless every contract is the shipped code."""
    try:
        return await _read(client, bridge)
    except ArtifactError as error:
        # The shipped code answers nothing else: it is the node's own word.
        raise L1Unavailable(f"the L1 node does not say what the bridge was made with: {error}") from None


async def _read(client: L1Client, bridge: bytes) -> Deployment:
    await _require_shipped(client, bridge_artifact(), bridge)
    referee_address = await _address(client, bridge_artifact(), bridge, "REFEREE")
    token = await _address(client, bridge_artifact(), bridge, "TOKEN")
    await _require_micros(client, token)
    shipped = referee.artifact("FraudReferee")
    await _require_shipped(client, shipped, referee_address)
    for name in referee.FAMILIES:
        family = await _address(client, shipped, referee_address, name.upper())
        await _require_shipped(client, referee.artifact(name), family)
    chain_id = await client.chain_id()
    deployment = Deployment(chain_id, bridge, referee_address, token)
    domain = await view(client, bridge_artifact(), bridge, "DOMAIN_SEPARATOR")
    if domain != deployment.domain:
        raise WrongContracts("the bridge was deployed for another chain: its EIP-712 domain is not this chain's")
    return deployment


async def first_block(client: L1Client, bridge: bytes) -> int:
    """The block from which on an address has code; the newest one where it has none. L1Rejected: no state so old."""
    low, high = 0, (await client.newest_block()).number
    while low < high:
        middle = (low + high) // 2
        if await client.code(bridge, middle):
            high = middle
        else:
            low = middle + 1
    return low


async def genesis_root(client: L1Client, bridge: bytes) -> bytes:
    """The root of the bridge's batch 0."""
    answer = await client.eth_call(bridge, calls.encode_call("record", 0))
    return calls.decode_record(calls.BatchRecord, answer).last_root


async def logged_genesis(client: L1Client, identity: batch.BridgeId) -> tuple[bytes, int] | None:
    """The genesis bytes in the one log that the bridge's constructor wrote, and its block; None without such a log.

    WrongContracts unless that transaction ran the shipped constructor on what it logged and on nothing else, and the
    genesis bytes are what the first root stands for. Code that is genuine does not tell what stood in its storage when
    it was put there: whoever deploys chooses what runs before it, and what that logs.
    """
    head = await client.newest_block()
    for log in await client.logs(identity.address, [events.topic_of(events.Genesis)], 0, head.number):
        try:
            event = events.decode_log(identity, log)
        except events.LogError as error:
            raise WrongContracts(f"the bridge's genesis log contradicts itself: {error}") from None
        if isinstance(event, events.Genesis):
            await _require_constructed(client, identity.address, event, log.transaction_hash)
            return event.genesis_bytes, log.block_number
    return None


async def _require_constructed(client: L1Client, bridge: bytes, event: events.Genesis, transaction_hash: bytes) -> None:
    fixed = event.token, event.referee, event.parameters, event.commitment, event.genesis_bytes
    if await client.creation(transaction_hash) != calls.encode_creation(*fixed):
        raise WrongContracts(
            f"the bridge at 0x{bridge.hex()} was not made by the shipped constructor, called by itself with what its "
            "genesis log says: what stands in its storage is anybody's choice"
        )
    try:
        commitment, _ = genesis_commitment(event.genesis_bytes)
    except ValueError as error:
        raise WrongContracts(f"the bridge's genesis cannot be used: {error}") from None
    if encoding.state_root(commitment) != event.root:
        raise WrongContracts(
            "the bridge's genesis bytes do not give its first root: no challenger can rebuild what it began with"
        )


async def view(client: L1Client, artifact: Artifact, address: bytes, name: str, *arguments: Any) -> Any:
    """What a view of a contract answers now."""
    return artifact.decode_result(name, await client.eth_call(address, artifact.encode_call(name, *arguments)))


async def _address(client: L1Client, artifact: Artifact, contract: bytes, name: str) -> bytes:
    answer: str = await view(client, artifact, contract, name)
    return bytes.fromhex(answer.removeprefix("0x"))


async def _require_micros(client: L1Client, token: bytes) -> None:
    """Amounts are micro-dollars everywhere: the bridge books what the token counts, whatever it means by it."""
    try:
        decimals = await view(client, load_artifact("MockDollar"), token, "decimals")
    except (ArtifactError, L1Reverted):
        raise WrongContracts(f"the token at 0x{token.hex()} does not say how many decimals it has") from None
    if decimals != TOKEN_DECIMALS:
        raise WrongContracts(
            f"the token at 0x{token.hex()} has {decimals} decimals, where amounts here have {TOKEN_DECIMALS}"
        )


async def _require_shipped(client: L1Client, artifact: Artifact, address: bytes) -> None:
    code = await client.code(address)
    if not code:
        raise WrongContracts(f"there is no contract at 0x{address.hex()} where {artifact.name} should be")
    if not artifact.matches_runtime(code):
        raise WrongContracts(f"the code at 0x{address.hex()} is not the shipped {artifact.name}")

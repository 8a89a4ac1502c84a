"""The lying sequencer of the demo and of tests: the honest strategy over a law that believes every signature.

It rebuilds the state from L1, signs for a trader what the trader never signed, and commits the result as if it were
replay's. An attack is one line: where the honest node asks who signed, this one answers with whom it robs.
"""

import json
import tempfile
from pathlib import Path

import click
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from prover.contracts import deployment
from prover.history.history import ChainReplay
from prover.signing import operations
from prover.state.leveldb import LevelDbStore
from prover.state.state import State
from prover.stf import codes, constants, containers, encoding, margin
from prover.stf.replay import Chunk

_COMMIT_GAS = 2_000_000
_CLAIM_GAS = 400_000


def forge(state: State, thief: bytes) -> tuple[Chunk, bytes, int, int]:
    """(chunk, body, victim's account, micro-dollars): a withdrawal of the richest trader's money to `thief`."""
    risk = state.globals.risk
    rich = 0, 0
    for index in range(constants.RESERVED_ACCOUNTS, state.globals.next_account):
        settled, _ = margin.settle(risk, state.account(index), state.commitment.timestamp)
        spendable = margin.spendable(risk, settled, constants.WITHDRAWAL_FLOOR_PPM)
        rich = max(rich, (min(settled.settled, spendable), index))
    amount, victim = rich
    now = state.commitment.timestamp
    request = containers.Request(
        account=victim,
        slot=255,
        sequence=now,
        created_at=now,
        expires_at=now + constants.REQUEST_LIFETIME,
        amount=amount - state.globals.posting_fee,
        other=0,
        recipient=thief,
        max_posting_fee=state.globals.posting_fee,
    )
    owner = state.account(victim).owner
    body = now.to_bytes(6, "big") + operations.request_bytes(constants.WITHDRAW, request, bytes(63) + b"\x01")
    chunk = state.chunk(lambda digest, v, r, s: owner)
    chunk.run(body)
    assert chunk.operation_codes == [codes.OK], "the lie is lawful but for the signature"
    return chunk, body, victim, request.amount


async def lie(l1_rpc_url: str, bridge: bytes, key_index: int, directory: Path) -> dict[str, object]:
    """Commits a theft as the seat's holder and asks for the money; what came of it."""
    signer = development_key(key_index)
    async with L1Client(l1_rpc_url, L1Options(poll_seconds=0.2)) as client:
        found = await deployment.read(client, bridge)
        replay = ChainReplay(LevelDbStore(directory), found.identity)
        follower = client.follow(bridge, 0)
        while events := await follower.poll():
            for event in events:
                replay.handle(event)
        state = replay.state
        head = calls.decode_record(calls.BatchRecord, await client.eth_call(bridge, calls.encode_call("head")))
        assert head.last_root == state.root, "the lie is built on the canonical head"
        chunk, body, victim, amount = forge(state, signer.address)
        post_root = state.seal(chunk)
        commitment = batch.Commitment.decode(encoding.commitment_bytes(state.commitment))
        data = calls.encode_commit(head.number, head.batch_hash, [batch.Chunk(body, post_root)], commitment)
        receipt = await client.send(signer, bridge, data, gas=_COMMIT_GAS)
        withdrawal = batch.Withdrawal(state.globals.withdrawal_count - 1, signer.address, amount)
        refused = ""
        try:
            claim = calls.encode_claim(head.number + 1, commitment, withdrawal, [bytes(32)] * 32)
            await client.eth_call(bridge, claim, sender=signer.address, gas=_CLAIM_GAS)
        except L1Rejected as error:
            refused = error.reason
        replay.close()
        return {
            "event": "lied",
            "batch": head.number + 1,
            "victim_account": victim,
            "amount_micros": amount,
            "thief": "0x" + signer.address.hex(),
            "claim_refused": refused,
            "transaction_hash": "0x" + receipt.transaction_hash.hex(),
        }


@click.command()
@click.option("--l1-rpc-url", required=True)
@click.option("--rollup-address", required=True)
@click.option("--development-key", type=click.IntRange(0, 9), default=0)
def main(l1_rpc_url: str, rollup_address: str, development_key: int) -> None:
    """Commit a theft on a devnet; prints one JSON line."""
    with tempfile.TemporaryDirectory(prefix="catenary-liar-") as directory:
        bridge = address_bytes(rollup_address)
        print(json.dumps(trio.run(lie, l1_rpc_url, bridge, development_key, Path(directory))), flush=True)


if __name__ == "__main__":
    main()

"""Operations and queue entries as batches and L1 carry them: canonical bytes."""

from typing import Final

from prover.stf import constants, containers, encoding

_ORDER_NAME_DIGITS: Final = (constants.ACCOUNT_BITS + constants.SLOT_BITS + 48) // 4

# What the API and the wallet call the signed operations.
TAG_OF_KIND: Final = {
    "order": constants.ORDER,
    "withdraw": constants.WITHDRAW,
    "transfer": constants.TRANSFER,
    "cancel": constants.CANCEL,
    "cancel_all": constants.CANCEL_ALL,
    "set_agent": constants.SET_AGENT,
    "set_leverage": constants.SET_LEVERAGE,
}
# What the API and the wallet call the entries of the L1 queue.
ENTRY_NAMES: Final = {
    constants.DEPOSIT: "deposit",
    constants.FORCED_RESCUE: "forced_rescue",
    constants.FORCED_WITHDRAW: "forced_withdraw",
    constants.FORCED_CLOSE: "forced_close",
    constants.LEAVE: "leave",
    constants.FORCED_AGENT: "forced_agent",
    constants.FORCED_TICK: "forced_tick",
    constants.SET_MARKET: "set_market",
    constants.SET_VENUE: "set_venue",
}
SIGNED_NAMES: Final = {
    constants.ORDER: "order",
    constants.WITHDRAW: "withdraw",
    constants.TRANSFER: "transfer",
    constants.CANCEL: "cancel",
    constants.CANCEL_ALL: "cancel_all",
    constants.SET_AGENT: "set_agent",
    constants.SET_LEVERAGE: "set_leverage",
}
# All of a position, whatever becomes of it until then: the law cuts lots to its size.
ALL_LOTS: Final = constants.SIZE_BOUND - 1


def order_name(account: int, slot: int, sequence: int) -> str:
    """An order's name in feeds, receipts and histories: 0x and 20 hexadecimal digits of account, slot and sequence."""
    return f"0x{account << 56 | slot << 48 | sequence:0{_ORDER_NAME_DIGITS}x}"


def order_bytes(order: containers.Order, signature: bytes) -> bytes:
    """113 bytes: tag, order word (48), compact signature."""
    flags = (
        order.side
        | order.time_in_force << 1
        | order.post_only << 3
        | order.reduce_only << 4
        | order.trigger << 5
        | order.unused << 7
    )
    return b"".join(
        [
            bytes([constants.ORDER]),
            order.account.to_bytes(3, "big"),
            bytes([order.market, flags, order.slot]),
            order.size.to_bytes(7, "big"),
            order.limit_price.to_bytes(6, "big"),
            order.sequence.to_bytes(6, "big"),
            order.created_at.to_bytes(6, "big"),
            order.expires_at.to_bytes(6, "big"),
            order.trigger_price.to_bytes(6, "big"),
            order.max_fee_ppm.to_bytes(2, "big"),
            order.max_posting_fee.to_bytes(3, "big"),
            signature,
        ]
    )


def request_bytes(tag: int, request: containers.Request, signature: bytes) -> bytes:
    """A request's bytes: tag, fields, compact signature; their lengths are constants of the law."""
    tail = b""
    if tag == constants.WITHDRAW:
        tail = request.amount.to_bytes(8, "big") + request.recipient
    elif tag == constants.TRANSFER:
        tail = request.amount.to_bytes(8, "big") + request.other.to_bytes(3, "big")
    elif tag == constants.SET_AGENT:
        tail = b"".join(
            [
                request.amount.to_bytes(6, "big"),
                bytes([request.first_slot, request.last_slot]),
                request.recipient,
                bytes([request.other]),
            ]
        )
    elif tag == constants.SET_LEVERAGE:
        tail = request.amount.to_bytes(3, "big")
    return b"".join(
        [
            bytes([tag]),
            request.account.to_bytes(3, "big"),
            bytes([request.slot]),
            request.sequence.to_bytes(6, "big"),
            request.created_at.to_bytes(6, "big"),
            request.expires_at.to_bytes(6, "big"),
            tail,
            request.max_posting_fee.to_bytes(3, "big"),
            signature,
        ]
    )


def deposit_bytes(deposit: containers.Deposit) -> bytes:
    """52 bytes: tag, depositor, owner, account, amount; the same bytes stand in the L1 queue."""
    return b"".join(
        [
            bytes([constants.DEPOSIT]),
            deposit.depositor,
            deposit.owner,
            deposit.account.to_bytes(3, "big"),
            deposit.amount.to_bytes(8, "big"),
        ]
    )


def fill_bytes(maker: int, taker: int, size: int) -> bytes:
    """10 bytes: tag, the two orders' places in the chunk, lots."""
    return bytes([constants.FILL, maker, taker]) + size.to_bytes(7, "big")


def rescue_bytes(tag: int, move: containers.Rescue) -> bytes:
    """A liquidation, take-over or step of a close (12 bytes), deleveraging (15) or unwinding (9), as in a chunk."""
    lots = move.lots.to_bytes(7, "big")
    first = move.maker if tag in (constants.LIQUIDATE, constants.UNWIND) else move.market
    if tag == constants.UNWIND:
        return bytes([tag, first]) + lots
    if tag == constants.CLOSE_STEP:
        return bytes([tag, first]) + move.other.to_bytes(3, "big") + lots
    other = move.other.to_bytes(3, "big") if tag == constants.DELEVERAGE else b""
    return bytes([tag, first]) + move.account.to_bytes(3, "big") + lots + other


def entry_bytes(tag: int, sender: bytes, time: int, payload: bytes) -> bytes:
    """An entry of the L1 queue as the bridge writes it: tag, sender 20, its block's time in ms 6, length 2, payload."""
    return b"".join([bytes([tag]), sender, time.to_bytes(6, "big"), len(payload).to_bytes(2, "big"), payload])


def entry_payload(tag: int, entry: containers.Entry) -> bytes:
    """What the sender of a forced withdrawal (11 bytes), close (17), leave (3) or grant (32) writes."""
    account = entry.account.to_bytes(3, "big")
    if tag == constants.LEAVE:
        return account
    if tag == constants.FORCED_WITHDRAW:
        return account + entry.amount.to_bytes(8, "big")
    if tag == constants.FORCED_CLOSE:
        return account + bytes([entry.market]) + entry.amount.to_bytes(7, "big") + entry.limit.to_bytes(6, "big")
    return b"".join(
        [
            account,
            bytes([entry.agent_index]),
            entry.agent,
            entry.expires_at.to_bytes(6, "big"),
            bytes([entry.first_slot, entry.last_slot]),
        ]
    )


def forced_rescue_payload(market: int, account: int, lots: int) -> bytes:
    """11 bytes: whom the insurance account is to rescue, and of how many lots at most."""
    return bytes([market]) + account.to_bytes(3, "big") + lots.to_bytes(7, "big")


def market_payload(given: containers.Parameters) -> bytes:
    """98 bytes: what the governor would have of a market; OverflowError for what no field can hold."""
    return b"".join(
        [
            bytes([given.market, given.status]),
            given.label,
            given.initial_ppm.to_bytes(3, "big"),
            given.maintenance_ppm.to_bytes(3, "big"),
            given.maker_fee_ppm.to_bytes(2, "big"),
            given.taker_fee_ppm.to_bytes(2, "big"),
            given.band_ppm.to_bytes(3, "big"),
            given.unwind_band_ppm.to_bytes(2, "big"),
            given.funding_cap_ppb.to_bytes(4, "big"),
            (given.funding_interest_ppb + encoding.PREMIUM_BIAS).to_bytes(4, "big"),
            given.funding_damping_ppb.to_bytes(4, "big"),
            given.minimum_notional.to_bytes(5, "big"),
            given.price.to_bytes(6, "big"),
            given.interest_lower.to_bytes(13, "big"),
            given.interest_upper.to_bytes(13, "big"),
        ]
    )


def market_parameters(payload: bytes) -> containers.Parameters:
    """What 98 bytes of `market_payload` say; ValueError for another length."""
    if len(payload) != constants.SET_MARKET_LENGTH:
        raise ValueError(f"parameters of a market are {constants.SET_MARKET_LENGTH} bytes, these are {len(payload)}")
    words = [int.from_bytes(payload[at : at + 32], "big") for at in (0, 34, 66)]
    return encoding.parameters(words[0], payload[2:34], words[1], words[2])


def venue_parameters(payload: bytes) -> containers.VenueParameters:
    """What 27 bytes of `venue_payload` say; ValueError for another length."""
    if len(payload) != constants.SET_VENUE_LENGTH:
        raise ValueError(f"parameters of a venue are {constants.SET_VENUE_LENGTH} bytes, these are {len(payload)}")
    numbers = int.from_bytes(payload[:3], "big"), int.from_bytes(payload[3:6], "big")
    return containers.VenueParameters(*numbers, payload[6], payload[7:])


def venue_payload(given: containers.VenueParameters) -> bytes:
    """27 bytes: what the governor would have of the venue."""
    return b"".join(
        [
            given.posting_fee.to_bytes(3, "big"),
            given.grace_period.to_bytes(3, "big"),
            bytes([given.signer_index]),
            given.signer,
        ]
    )


def tick_bytes(time: int, market_count: int, reports: list[tuple[int, list[int], list[int], bytes]]) -> bytes:
    """A tick from (signer index, prices, premiums, compact signature), signers strictly increasing."""
    parts = [bytes([constants.TICK]), time.to_bytes(6, "big"), bytes([len(reports), market_count])]
    for index, prices, premiums, signature in reports:
        parts.append(bytes([index]))
        for market in range(market_count):
            parts.append(prices[market].to_bytes(6, "big"))
            parts.append((premiums[market] + encoding.PREMIUM_BIAS).to_bytes(4, "big"))
        parts.append(signature)
    return b"".join(parts)

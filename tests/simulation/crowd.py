"""Random operations for a venue, seeded: what traders, the queue and the oracle send, good and bad alike."""

from random import Random
from typing import Final

from prover.signing.signed import recovered
from prover.signing.typed_data import SIGNED
from prover.stf import constants, encoding
from sequencer.engine.engine import Engine
from tests.sequencer.node_world import (
    DOLLAR,
    FIRST,
    FOK,
    GTC,
    IOC,
    PRICES,
    RECIPIENT,
    START,
    deposit,
    key,
    order,
    owner,
    request,
    signed_order,
    signed_request,
    tick,
)

TRADERS: Final = 12
# Keys of nobody's account, whom the traders trust now and then.
AGENTS: Final = (60, 61, 62)
_SLOTS: Final = 6
_LOTS: Final = (1_000, 2_000, 500)
# Makers of a sweep: with the taker they refer to more than a chunk holds.
_SWEPT: Final = 40


class Crowd:
    """The next operation and the clock's next step; a pure function of the seed and of what the engine shows."""

    def __init__(self, seed: int, sweeps: float = 0.0) -> None:
        """sweeps: how often one taker meets more makers than a chunk holds, a share of the steps."""
        self.random = Random(seed)
        self.sweeps = sweeps
        self.now = START
        self.prices = list(PRICES)
        self._sent: list[bytes] = []
        self._due = [deposit(owner(index), self.random.randrange(500, 50_000) * DOLLAR) for index in range(TRADERS)]
        self._due.append(tick(START))

    def step(self, engine: Engine) -> tuple[int, bytes]:
        """(clock in ms, operation bytes), as the edge hands them to the engine."""
        random = self.random
        if self._due:
            return self.now, self._due.pop(0)
        if self.sweeps and random.random() < self.sweeps:
            self._due = self._sweep()
        # Now and then the machine's clock is set back.
        self.now += -random.randrange(300) if random.random() < 0.02 else random.randrange(60)
        if random.random() < 0.01:
            # Seldom a gap of ticks: the grace after it holds up hundreds of steps.
            self.now += 70_000 if random.random() < 0.06 else random.choice((3_000, 9_000, 25_000))
        step = self.now - self.now % constants.TICK_STEP
        if step > engine.globals.tick_time and random.random() < 0.7:
            return self.now, self._tick(step)
        chosen = random.random()
        if (engine.open_operations and self.now - engine.view.commitment.timestamp > 1_000) or chosen < 0.02:
            operation = b""
        elif chosen < 0.08 and self._sent:
            operation = random.choice(self._sent[-40:])
        elif chosen < 0.12:
            operation = self._deposit(engine)
        elif chosen < 0.25:
            operation = self._request(engine)
        else:
            operation = self._order(engine)
        self._sent.append(operation)
        return self.now, operation

    def _tick(self, step: int) -> bytes:
        random = self.random
        wild = 0.05 if random.random() < 0.1 else 0.004
        self.prices = [max(1, int(price * (1 + random.uniform(-wild, wild)))) for price in self.prices]
        premiums = [random.randrange(-900_000, 900_000) for _ in self.prices]
        return tick(step, (self.prices[0], self.prices[1], self.prices[2]), (premiums[0], premiums[1], premiums[2]))

    def _sweep(self) -> list[bytes]:
        """Small orders of the others, and one of a trader who has taken out his own that meets them all."""
        taker, price = self._trader(), self.prices[0]
        others = [trader for trader in range(TRADERS) if trader != taker]
        gone = request(self.now - 1, FIRST + taker, slot=0, max_posting_fee=0)
        given = [signed_request(constants.CANCEL_ALL, gone, key(taker))]
        for place in range(_SWEPT):
            trader, slot = others[place % len(others)], 100 + place // len(others)
            resting = order(self.now, FIRST + trader, constants.SELL, price + place, _LOTS[0] // 10, slot=slot)
            given.append(signed_order(resting, key(trader)))
        taking = order(
            self.now, FIRST + taker, constants.BUY, price + price // 100, _LOTS[0] * 8, slot=100, time_in_force=IOC
        )
        return [*given, signed_order(taking, key(taker))]

    def _trader(self) -> int:
        return self.random.randrange(TRADERS)

    def _deposit(self, engine: Engine) -> bytes:
        random = self.random
        index = self._trader()
        account = random.choice((FIRST + index, constants.NEW_ACCOUNT, FIRST + self._trader(), 3))
        whose = owner(index) if random.random() < 0.9 else bytes(20)
        return deposit(whose, random.randrange(1, 2_000) * DOLLAR, account)

    def _request(self, engine: Engine) -> bytes:
        random = self.random
        index = self._trader()
        tag = random.choice(
            (
                constants.CANCEL,
                constants.CANCEL,
                constants.CANCEL_ALL,
                constants.WITHDRAW,
                constants.TRANSFER,
                constants.SET_AGENT,
                constants.SET_AGENT,
                constants.SET_LEVERAGE,
            )
        )
        slot = 0 if tag == constants.CANCEL_ALL else random.randrange(1, _SLOTS + 1)
        fields = {
            "amount": random.randrange(3_000 * DOLLAR),
            "recipient": RECIPIENT,
            "other": FIRST + random.choice((self._trader(), TRADERS + self._trader())),
        }
        if tag == constants.TRANSFER and random.random() < 0.1:
            fields["other"] = constants.NEW_ACCOUNT
        elif tag == constants.SET_LEVERAGE:
            fields["amount"] = random.choice((0, 0, 50_000, 300_000, constants.PPM + 1))
        elif tag == constants.SET_AGENT:
            trusted = {
                "recipient": owner(random.choice(AGENTS)),
                "amount": self.now + random.choice((0, 2_000, 20_000, constants.HOUR)),
                "first_slot": random.choice((0, 0, 0, 2)),
                "last_slot": random.choice((255, 255, _SLOTS - 1, 1)),
            }
            nobody = {"recipient": bytes(20), "amount": 0}
            fields = {**(trusted if random.random() < 0.8 else nobody), "other": random.choice((0, 0, 1, 1, 1, 2))}
        given = request(self.now, FIRST + index, slot=slot, created_at=self.now - random.randrange(100), **fields)
        signer = index if random.random() < 0.95 else self._trader()
        if tag in (constants.CANCEL, constants.CANCEL_ALL):
            signer = self._agent(engine, index, signer)
        return signed_request(tag, given, key(signer))

    def _order(self, engine: Engine) -> bytes:
        random = self.random
        index = self._trader()
        market = random.randrange(3)
        price = self.prices[market]
        far = 0.08 if random.random() < 0.05 else 0.003
        force = random.choice((GTC, GTC, GTC, GTC, IOC, FOK))
        triggered = force == GTC and random.random() < 0.15
        created = self.now - random.randrange(200)
        lifetime = constants.IMMEDIATE_LIFETIME if force != GTC else 60_000
        if random.random() < 0.1:
            lifetime = random.choice((0, 500, 3_000, 86_400_000))
        given = order(
            self.now,
            FIRST + index,
            random.randrange(2),
            max(1, int(price * (1 + random.uniform(-far, far)))),
            size=random.randrange(_LOTS[market] // 10, _LOTS[market] * (20 if random.random() < 0.1 else 2)),
            market=market,
            slot=random.randrange(1, _SLOTS + 1),
            created_at=created,
            expires_at=created + lifetime,
            time_in_force=force,
            post_only=int(force == GTC and random.random() < 0.2),
            reduce_only=int(random.random() < 0.15),
            trigger=random.choice((1, 2)) if triggered else constants.NO_TRIGGER,
            trigger_price=int(price * random.uniform(0.995, 1.005)) if triggered else 0,
            max_fee_ppm=1_000 if random.random() < 0.97 else 100,
        )
        signer = index if random.random() < 0.97 else self._trader()
        return signed_order(given, key(self._agent(engine, index, signer)))

    def _agent(self, engine: Engine, trader: int, signer: int) -> int:
        """In a third of the cases an agent whom the trader trusted last, if any; seldom one of somebody else's."""
        trusted = [encoding.agent_address(packed) for packed in engine.account(FIRST + trader).agents]
        chosen = [agent for agent in AGENTS if owner(agent) in trusted]
        if self.random.random() < 0.03:
            return self.random.choice(AGENTS)
        return self.random.choice(chosen) if chosen and self.random.random() < 0.3 else signer


def signed_by(engine: Engine, operation: bytes) -> bytes:
    """What the edge finds out about an operation's signer before the engine sees it."""
    if operation[:1] in (b"", bytes([constants.TICK]), bytes([constants.DEPOSIT])):
        return b""
    assert SIGNED[operation[0]]
    return recovered(engine.domain, operation)

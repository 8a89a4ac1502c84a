"""Random chunks through both twins: the Python law against the deployed bytecode, chunk by chunk, the state chained.

Every step either extends a chunk by an operation that is valid by construction or aims at one (operation, code) pair of
the law's table by a single fault; the pair that was hit least comes next. Each world lives for a number of chunks.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from prover.signing.recover import recover_fast
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants
from prover.stf.replay import KINDS, serves_queue
from tests.soak.generator import Generator
from tests.soak.scenes import SCENES, scene
from tests.soak.world import WORLDS, Draft, World
from tests.twins import venue
from tests.vectors.law_table import NAMES, PAIRS, UNKNOWN

CHUNKS_A_WORLD: Final = 24
# Rescues and entries have scenes of their own.
_TICK_FAULTS: Final = (c.QUORUM, c.DUPLICATE_SIGNER, c.UNSORTED_SIGNERS, c.BAD_SIGNERS, c.ZERO_PRICE)
_PLAIN: Final = [tag for tag in sorted(KINDS) if tag < constants.LIQUIDATE]


class Campaign:
    """Runs chunks until enough operations went through both twins."""

    def __init__(self, cases: int, seed: int, report: Callable[[str], None]) -> None:
        self.cases = cases
        self.rng = random.Random(seed)
        self.report = report
        self.hits: Counter[tuple[int, int]] = Counter()
        self.aimed: Counter[tuple[int, int]] = Counter()
        self.done = 0
        self.chunks = 0
        self.mismatches = 0
        self.unexpected: set[tuple[int, int]] = set()
        self.recovered: dict[tuple[bytes, int, int, int], bytes] = {}

    def recover(self, digest: bytes, v: int, r: int, s: int) -> bytes:
        """Recovers once per signature: a draft and the chunk that is made of it ask for the same ones."""
        key = (digest, v, r, s)
        found = self.recovered.get(key)
        if found is None:
            found = self.recovered[key] = recover_fast(digest, v, r, s)
        return found

    def run(self) -> dict[str, Any]:
        """The summary of the whole campaign."""
        number = 0
        while self.done < self.cases:
            world = World(WORLDS[number % len(WORLDS)], self.rng)
            number += 1
            for turn in range(CHUNKS_A_WORLD):
                if self.done >= self.cases:
                    break
                self.chunk(world, turn)
        by_operation = Counter({NAMES[tag]: 0 for tag in KINDS})
        accepted: Counter[str] = Counter({NAMES[tag]: 0 for tag in KINDS})
        for (tag, code), count in self.hits.items():
            by_operation[NAMES[tag]] += count
            if code == c.OK:
                accepted[NAMES[tag]] += count
        return {
            "cases": self.done,
            "mismatches": self.mismatches,
            "accepted": sum(accepted.values()),
            "by_operation": {name: accepted[name] for name in sorted(accepted)},
            "by_code": {
                f"{NAMES[tag]}:{c.SENTENCE[code][0]}": count for (tag, code), count in sorted(self.hits.items())
            },
            "never_reached": sorted(
                f"{NAMES[tag]}:{c.SENTENCE[code][0]}" for tag, code in PAIRS if self.hits[(tag, code)] == 0
            ),
            "outside_the_table": sorted(f"{NAMES[tag]}:{c.SENTENCE[code][0]}" for tag, code in self.unexpected),
            "fewest_hits": min(self.hits[pair] for pair in PAIRS),
            "all_by_operation": dict(sorted(by_operation.items())),
            "chunks": self.chunks,
        }

    def chunk(self, world: World, turn: int) -> None:
        """One chunk of a world, and after it the scenes."""
        rng = self.rng
        self.recovered.clear()
        draft = Draft(world, self.timestamp(world, turn), self.recover)
        generator = Generator(draft)
        stale = world.kind != "young" and turn % 6 == 5
        if not stale and (world.kind != "young" or turn > 3):
            if rng.random() < 0.2:
                generator.operation(constants.TICK, rng.choice(_TICK_FAULTS))
            generator.operation(constants.TICK, c.OK)
        full = turn % 12 == 7
        length = rng.choice([1, 2, 4, 8, 12, 16, 24]) if not full else rng.randrange(20, 80)
        for _ in range(length):
            if rng.random() < 0.5:
                tag, code = self.next_accepted(), c.OK
            else:
                tag, code = self.next_pair(world, stale)
            generator.operation(tag, code)
        if full:
            generator.fill_up()
        body = draft.body
        if not full and rng.random() < 0.95:
            body += self.tail(generator)
        if turn % 11 == 10:
            body = rng.choice([body[: rng.randrange(0, 7)], rng.randbytes(rng.randrange(300)), body])
        self.compare(world, body[: constants.MAX_CHUNK_BYTES])
        self.scenes(generator)

    def scenes(self, generator: Generator) -> None:
        """Chunks, each in a state made for it: eight that are accepted, five aimed at what was hit least."""
        accepted = [pair for pair in sorted(SCENES) if pair[1] == c.OK]
        for pairs in (*[accepted] * 8, *[sorted(SCENES)] * 5):
            tag, code = min(pairs, key=lambda pair: (self.hits[pair], self.rng.random()))
            state, made, timestamp = scene(self.rng, tag, code)
            if self.rng.random() < 0.1 and all(serves_queue(each[0]) for each in made):
                # The same late: money does not age by the time that has passed.
                timestamp += self.rng.choice([0, 1, constants.EPOCH, 3 * constants.EPOCH])
                timestamp |= constants.QUEUE_ONLY_BIT
            tail = self.tail(generator) if self.rng.random() < 0.05 else b""
            self.run_scene(state, venue.body_of([*made, tail], timestamp))

    def run_scene(self, state: State, body: bytes) -> None:
        """A chunk after which its state is not needed any more."""
        self.run_body("a scene", state, body)

    def timestamp(self, world: World, turn: int) -> int:
        """The next chunk's clock: mostly a little later, now and then the same, earlier, or stale."""
        rng = self.rng
        last = world.state.commitment.timestamp
        if world.kind != "young" and turn % 6 == 5:
            return max(last, world.state.globals.tick_time) + constants.MAX_PRICE_AGE + rng.choice([1, 1, 5_000])
        return last + rng.choice([0, 1, 700, 3_000, 5_000, 6_000, 9_000, -last, -1])

    def next_accepted(self) -> int:
        """An operation to be accepted: now a fill, now the one that was accepted least, now any."""
        rng = self.rng
        if rng.random() < 0.1:
            return constants.FILL
        if rng.random() < 0.7:
            return min(_PLAIN, key=lambda tag: (self.hits[(tag, c.OK)], rng.random()))
        return rng.choice(sorted(KINDS))

    def next_pair(self, world: World, stale: bool) -> tuple[int, int]:
        """The pair of the table that was hit least; each try counts a little, since not every world can give each."""
        candidates = [pair for pair in sorted(PAIRS - SCENES) if pair[1] not in (c.OK, c.FULL, c.MALFORMED)]
        if stale:
            tag = self.rng.choice([constants.FILL, constants.WITHDRAW, constants.TRANSFER])
            if self.rng.random() < 0.5:
                return tag, c.STALE
        if world.extreme and self.rng.random() < 0.2:
            candidates = [pair for pair in candidates if pair[1] in (c.WITHDRAWALS_FULL, c.OUT_OF_BOUNDS)]
        pair = min(candidates, key=lambda pair: (self.hits[pair] + self.aimed[pair] // 4, self.rng.random()))
        self.aimed[pair] += 1
        return pair

    def tail(self, generator: Generator) -> bytes:
        """What ends a chunk as malformed: an operation cut off anywhere, or a tag that nobody knows."""
        rng = self.rng
        pair = min(((tag, c.MALFORMED) for tag in (UNKNOWN, *KINDS)), key=lambda pair: (self.hits[pair], rng.random()))
        if pair[0] == UNKNOWN:
            return bytes([rng.choice([0, 24, 128, 255])]) + rng.randbytes(rng.choice([0, 1, 200]))
        whole = generator.sample(pair[0])
        return whole[: rng.choice([1, len(whole) - 1, rng.randrange(1, len(whole))])]

    def compare(self, world: World, body: bytes) -> None:
        outcome = self.run_body(world.kind, world.state, body)
        for index, row in outcome.chunk.accounts.items():
            if index >= venue.FIRST and index not in world.accounts and row.owner in venue.KEY_OF:
                world.accounts.append(index)
        for leaf in outcome.chunk.slots:
            if leaf not in world.slots:
                world.slots.append(leaf)

    def run_body(self, name: str, state: State, body: bytes) -> venue.Played:
        """One chunk by both twins, counted."""
        outcome = venue.Outcome(state, body, self.recover)
        self.count(outcome)
        if not outcome.same:
            self.mismatches += 1
            self.report(
                f"MISMATCH world={name} chunk={self.chunks} python={outcome.codes} vyper={outcome.vyper_codes} "
                f"roots_equal={outcome.post_root == outcome.vyper_root} body={body.hex()}"
            )
        return outcome

    def count(self, played: venue.Played) -> None:
        """What a chunk came to."""
        self.chunks += 1
        tags = venue.tags_of(played.body)
        assert len(tags) == len(played.codes)
        for pair in zip(tags, played.codes, strict=True):
            self.hits[pair] += 1
            if pair not in PAIRS:
                self.unexpected.add(pair)
        self.done += len(tags)


def violations(summary: dict[str, Any], cases: int) -> list[str]:
    """What a campaign of this size has not kept."""
    broken: list[str] = []
    if summary["mismatches"]:
        broken.append(f"{summary['mismatches']} mismatches")
    if summary["outside_the_table"]:
        broken.append(f"pairs outside the law's table: {summary['outside_the_table']}")
    if cases >= 5_000 and summary["accepted"] * 5 < summary["cases"] * 2:
        broken.append("less than 40% accepted")
    if cases >= 30_000:
        if summary["fewest_hits"] < 20:
            broken.append(f"a pair was hit {summary['fewest_hits']} times")
        if min(summary["by_operation"].values()) < 300:
            broken.append("an operation was accepted less than 300 times")
    return broken


def run(cases: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Summary and violations of one campaign."""
    campaign = Campaign(cases, seed, lambda line: print(line, file=sys.stderr))
    summary = campaign.run()
    return summary, violations(summary, cases)

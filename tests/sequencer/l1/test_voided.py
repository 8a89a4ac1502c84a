"""What a re-sequencing makes void is told to its owner, with what he can send again; and it is as it is told."""

from prover.state.store import MemoryStore
from prover.stf import codes, constants
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.l1.resequence import Kept, rebuild
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.books import voided_view
from tests.sequencer.l1.test_resequence import rebuilt, traded
from tests.sequencer.node_world import DOMAIN, FIRST, genesis, key, owner, request, signed_request, tick


def told(engine: Engine, trader: int) -> list[tuple[str, int, int | None, str]]:
    """What the owner of an account finds of what is void: kind, slot, chunk, and whether the same bytes are good."""
    views = [voided_view(one) for one in engine.voided_of(FIRST + trader)]
    return sorted((view.operation, view.slot, view.chunk, view.send_again) for view in views)


def test_each_owner_finds_what_is_void_and_what_can_be_sent_again() -> None:
    world, _, _ = traded()
    # A soft cancel is in no chunk, and holds.
    assert world.request(constants.CANCEL, 0, slot=77, max_posting_fee=0).code == codes.OK
    again = signed_request(constants.SET_AGENT, request(world.now, FIRST, slot=5, recipient=owner(9)), key(0))
    assert world.process(again).code == codes.OK
    new, _ = rebuilt(world, 3)
    engine = Engine(BufferedStore(new), DOMAIN)
    # The one that rested since before is gone as well, and is told once: partly filled in a chunk that stands.
    assert told(engine, 0) == [("order", 2, 4, "sign_anew"), ("set_agent", 5, None, "as_signed")]
    assert told(engine, 1) == [
        ("order", 3, 4, "sign_anew"),
        ("order", 4, None, "sign_anew"),
        ("withdraw", 200, 4, "as_signed"),
    ]
    assert told(engine, 2) == []
    (agent,) = [one for one in engine.voided_of(FIRST) if one.tag == constants.SET_AGENT]
    assert agent.voided_at == world.now
    # It is as the answer says: the same bytes are taken.
    assert engine.process(Input(world.now, again, owner(0))).code == codes.OK


def test_what_was_void_before_is_found_for_a_week() -> None:
    world, _, _ = traded()
    new, _ = rebuilt(world, 3)
    world.engine = Engine(BufferedStore(new), DOMAIN)
    world.store, world.journal = new, []
    first = told(world.engine, 1)
    for later, kept in ((6 * 24 * constants.HOUR, first), (2 * 24 * constants.HOUR, [])):
        world.now += later
        tail = [Input(world.now, tick(world.now))]
        new = MemoryStore()
        rebuild(world.store, new, Kept(DOMAIN, genesis(), 3, len(world.journal)), tail)
        assert told(Engine(BufferedStore(new), DOMAIN), 1) == kept

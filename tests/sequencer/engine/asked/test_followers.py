"""Which orders come after which, and what is forgotten with them."""

from sequencer.engine.asked.followers import Followers


def test_the_followers_of_an_entry_are_found() -> None:
    kept = Followers()
    for slot in (3, 2):
        kept.put((17, slot, 5), (17, 1, 4))
    assert kept.of((17, 1, 4)) == [(17, 2, 5), (17, 3, 5)]
    assert (kept.of((17, 2, 5)), len(kept)) == ([], 2)


def test_who_is_gone_is_forgotten_as_follower_and_as_entry() -> None:
    kept = Followers()
    kept.put((17, 2, 5), (17, 1, 4))
    kept.put((17, 3, 5), (17, 1, 4))
    kept.put((17, 4, 6), (17, 3, 5))
    kept.drop((17, 2, 5))
    assert kept.of((17, 1, 4)) == [(17, 3, 5)]
    kept.drop((17, 3, 5))
    kept.drop((17, 3, 5))
    assert (len(kept), kept.of((17, 1, 4)), kept.of((17, 3, 5))) == (0, [], [])
    kept.put((17, 2, 5), (17, 1, 4))
    kept.drop((17, 1, 4))
    assert (len(kept), kept.of((17, 1, 4))) == (0, [])

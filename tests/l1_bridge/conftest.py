"""Fixtures of the bridge's tests; the stubs are compiled once a session."""

import pytest

from l1_bridge.contracts.artifact import Artifact
from tests.l1_bridge.evm import Evm, compile_stub
from tests.l1_bridge.harness import Harness


@pytest.fixture(scope="session")
def stub_referee() -> Artifact:
    """The law of two lines."""
    return compile_stub("StubReferee")


@pytest.fixture(scope="session")
def stub_token() -> Artifact:
    """The token with every bad habit."""
    return compile_stub("StubToken")


@pytest.fixture
def venue(stub_referee: Artifact) -> Harness:
    """A bridge whose seat is open."""
    return Harness(Evm(), stub_referee)


@pytest.fixture
def seated(venue: Harness) -> Harness:
    """A bridge whose sequencer is seated."""
    venue.take_seat()
    return venue

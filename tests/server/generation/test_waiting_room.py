"""How much may wait."""

import pytest

from llmi_server.errors import QueueFullError
from llmi_server.generation.waiting_room import WaitingRoom


def test_requests_beyond_the_limit_are_refused_until_one_leaves():
    room = WaitingRoom(max_requests=2, max_tokens=100)
    room.enter(1)
    room.enter(2)
    with pytest.raises(QueueFullError, match="2 requests"):
        room.enter(3)
    room.leave(1)
    room.leave(1)
    room.enter(3)
    assert room.requests == 2


def test_tokens_beyond_the_limit_are_refused_but_a_lone_prompt_never_is():
    room = WaitingRoom(max_requests=9, max_tokens=100)
    room.enter(1)
    room.weigh(1, 500)
    room.enter(2)
    with pytest.raises(QueueFullError, match="100 tokens"):
        room.weigh(2, 1)
    room.leave(1)
    room.weigh(2, 90)
    room.enter(3)
    room.weigh(3, 10)

"""How a new version takes the place of the old one: beside it first, or one replica after the other in its place.

Where every accelerator is in use, a new replica beside the old ones waits for ever, and so does the rollout. Whether
one is free is asked when a rollout begins. Others may be quicker to take it, and where the nodes may not be read nobody
knows, so a new replica that finds no room for long settles it. What was decided stays until the rollout is over: the
room that an old replica leaves is not free, it is meant for its successor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from llmi_api.v1alpha1 import LLMInferenceSpec, RolloutMode


class Room(Enum):
    """Where a new replica would find room."""

    BESIDE = auto()  # a node takes it as things are
    IN_PLACE = auto()  # a node takes it once an old replica has gone
    NONE = auto()  # not even then
    UNKNOWN = auto()  # the nodes may not be read


class RolloutReason(Enum):
    """Why replicas are replaced in the way that they are."""

    ASKED = auto()
    NO_ACCELERATOR = auto()
    AT_REST = auto()
    ROOM_BESIDE = auto()
    ROOM_IN_PLACE = auto()
    NO_ROOM = auto()
    ROOM_UNKNOWN = auto()
    STUCK = auto()
    GOES_ON = auto()


@dataclass(frozen=True)
class LiveRollout:
    """Where the rollout of the live Deployment stands.

    Attributes:
        strategy: Its ``spec.strategy``.
        template: Its pod template.
        plan_hash: Hash of the manifest that it was applied from.
        over: Whether all wanted replicas are of the newest version and answer.
        waiting: Replicas that find no room, while older ones run whose place would do.
        stuck: Whether they have waited for so long that no room comes by itself.
    """

    strategy: Mapping[str, Any] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)
    plan_hash: str = ""
    over: bool = True
    waiting: int = 0
    stuck: bool = False

    @property
    def max_unavailable(self) -> int:
        """How many replicas may be missing while it replaces them; 0 while it does so beside the old ones."""
        amounts = self.strategy.get("rollingUpdate") or {}
        amount = amounts.get("maxUnavailable")
        return amount if amounts.get("maxSurge") == 0 and isinstance(amount, int) else 0


@dataclass(frozen=True)
class RolloutDecision:
    """How replicas are replaced, and why.

    Attributes:
        mode: Surge or Replace.
        max_unavailable: How many replicas may be missing meanwhile.
        waits: A replica finds no room, and may find some yet; if not, something else is decided before long.
    """

    mode: RolloutMode
    reason: RolloutReason
    max_unavailable: int = 0
    waits: bool = False


def decide_rollout(
    spec: LLMInferenceSpec, live: LiveRollout | None, *, begins: bool, room: Room = Room.UNKNOWN
) -> RolloutDecision:
    """Decide how replicas are replaced.

    Args:
        spec: What the user wrote.
        live: Where the live rollout stands; None when there is no Deployment.
        begins: Whether the pod template changes now.
        room: Where a new replica would find room; it matters only where a rollout begins.
    """
    asked = spec.rollout.mode
    if asked is RolloutMode.SURGE:
        return _surge(RolloutReason.ASKED)
    if asked is RolloutMode.REPLACE:
        return _replace(RolloutReason.ASKED, live)
    if spec.accelerator is None:
        return _surge(RolloutReason.NO_ACCELERATOR)
    if spec.paused and live is not None:
        mode = RolloutMode.REPLACE if live.max_unavailable else RolloutMode.SURGE
        return RolloutDecision(mode, RolloutReason.GOES_ON, live.max_unavailable)
    if live is None or (live.over and not begins):
        return _surge(RolloutReason.AT_REST)
    return _decide_by_room(live, room if begins else None)


def make_strategy(decision: RolloutDecision) -> dict[str, Any]:
    """The strategy of a Deployment."""
    surge = 1 if decision.mode is RolloutMode.SURGE else 0
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": decision.max_unavailable, "maxSurge": surge},
    }


def _decide_by_room(live: LiveRollout, room: Room | None) -> RolloutDecision:
    """Decide about a rollout that goes on, or that begins where room is given."""
    if live.max_unavailable and not live.over:
        return _replace(RolloutReason.GOES_ON, live)
    if live.stuck:
        return _replace(RolloutReason.STUCK, live)
    if room is None:
        return _surge(RolloutReason.GOES_ON, waits=live.waiting > 0)
    if room is Room.IN_PLACE:
        return _replace(RolloutReason.ROOM_IN_PLACE, live)
    return _surge(_BEGINNINGS[room])


_BEGINNINGS = {
    Room.BESIDE: RolloutReason.ROOM_BESIDE,
    Room.NONE: RolloutReason.NO_ROOM,
    Room.UNKNOWN: RolloutReason.ROOM_UNKNOWN,
}


def _surge(reason: RolloutReason, *, waits: bool = False) -> RolloutDecision:
    return RolloutDecision(RolloutMode.SURGE, reason, waits=waits)


def _replace(reason: RolloutReason, live: LiveRollout | None) -> RolloutDecision:
    """One replica at a time, not counting those for which there is no room at all: they would block it for ever."""
    if live is None or live.over or not live.max_unavailable:
        return RolloutDecision(RolloutMode.REPLACE, reason, max_unavailable=1)
    without_room = live.waiting if live.stuck else 0
    missing = max(live.max_unavailable, 1 + without_room)
    return RolloutDecision(
        RolloutMode.REPLACE, reason, max_unavailable=missing, waits=live.waiting > 0 and not live.stuck
    )

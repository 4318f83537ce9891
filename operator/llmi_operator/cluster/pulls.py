"""Looks into the events of a pod that waits for its first container: only they tell that an image is being pulled."""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from llmi_operator.cluster.client import Cluster
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import Kind
from llmi_operator.observed import PodState, Pull

logger = logging.getLogger(__name__)
FRESH_SECONDS = 10.0
_IMAGE = re.compile(r'[Pp]ulling image "([^"]+)"')


class PullReader:
    """The pulls that pods wait for."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._known: dict[str, tuple[float, Pull | None]] = {}

    async def read(self, namespace: str, pod: PodState) -> Pull | None:
        """The pull that a pod waits for, as of a few seconds ago at most; None when there is none."""
        self._forget_old()
        if pod.uid not in self._known:
            events = Kind(
                "", "v1", "events", "Event", selects_ours=False, field_selector=f"involvedObject.uid={pod.uid}"
            )
            try:
                bodies, _ = await self._cluster.list(events, namespace)
            except ClusterError as error:
                logger.info("Could not read the events of a pod", extra={"error": str(error)})
                bodies = []
            self._known[pod.uid] = (self._clock(), find_pull(bodies))
        return self._known[pod.uid][1]

    def _forget_old(self) -> None:
        now = self._clock()
        self._known = {uid: item for uid, item in self._known.items() if now - item[0] < FRESH_SECONDS}


def find_pull(events: list[dict[str, Any]]) -> Pull | None:
    """The pull that began last, unless something came of it."""
    last: tuple[datetime, Mapping[str, Any]] | None = None
    for event in events:
        stamp = event.get("lastTimestamp") or event.get("eventTime")
        if stamp and event.get("reason") in {"Pulling", "Pulled", "Failed", "BackOff"}:
            at = datetime.fromisoformat(stamp).astimezone(UTC)
            # Times are whole seconds: of two events of one second, the end of a pull came after its beginning.
            if last is None or at > last[0] or (at == last[0] and event["reason"] != "Pulling"):
                last = (at, event)
    if last is None or last[1]["reason"] != "Pulling":
        return None
    image = _IMAGE.search(last[1].get("message") or "")
    return Pull(image=image[1], since=last[0]) if image else None

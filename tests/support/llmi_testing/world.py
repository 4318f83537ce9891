"""An API server in memory, and an operator that sees all of it."""

from datetime import UTC, datetime
from typing import Any

from llmi_operator.kinds import DEPLOYMENT, INFERENCE, WATCHED
from llmi_operator.reconcile import Parts, one_pass
from llmi_operator.store import Key, Store
from llmi_testing.fake_cluster import FakeCluster, Writes
from llmi_testing.inference import DEFAULTS, make_stored_body

KEY = Key("models", "bert")


class World:
    """A cluster, and an operator that sees all of it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.store = Store()
        self.parts = Parts(self.cluster, self.store, DEFAULTS, lambda: datetime(2026, 5, 1, tzinfo=UTC))

    def write(self, **spec: Any) -> None:
        """Write the resource as a user would, whole."""
        known = self.cluster.objects.get(("LLMInference", *KEY), {})
        generation = known.get("metadata", {}).get("generation", 0) + 1
        body = make_stored_body(generation=generation, **spec)
        self.store.put(INFERENCE, self.cluster.put(INFERENCE, body | {"status": known.get("status", {})}))

    async def watch(self) -> None:
        """Let the store see everything, as watches do sooner or later."""
        for kind in WATCHED:
            bodies, version = await self.cluster.list(kind)
            self.store.replace(kind, "", bodies, version)

    async def settle(self) -> Writes:
        """Make passes until nothing more comes of it; give what was written."""
        for _ in range(4):
            await one_pass(self.parts, KEY)
            await self.watch()
        return self.cluster.writes()

    @property
    def status(self) -> dict[str, Any]:
        """What the operator reports."""
        status: dict[str, Any] = self.cluster.find(INFERENCE)["status"]
        return status

    @property
    def replicas(self) -> int:
        """How many the Deployment asks for."""
        return int(self.cluster.find(DEPLOYMENT)["spec"]["replicas"])

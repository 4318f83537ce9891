"""What is there: a frozen snapshot of the children and the pods, reduced to what status depends on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from llmi_api.readiness import ReadinessReport
from llmi_operator.metric_sources import MetricSources
from llmi_operator.prices import PriceList

# 'Created new replica set "bert-5d8f9c7b6"', or 'ReplicaSet "bert-5d8f9c7b6" is progressing.'
_REPLICA_SET = re.compile(r'replica ?set "[^"]*-([a-z0-9]+)"', re.IGNORECASE)


@dataclass(frozen=True)
class ConditionState:
    """A condition of a Deployment, a pod or an autoscaler."""

    status: str
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True)
class Termination:
    """How a container ended."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class ContainerState:
    """One container of a pod; at most one of waiting, running and terminated holds.

    Attributes:
        started: Whether its start-up probe has succeeded; never for a download, which has none.
        waiting_reason: The kubelet's word for why it does not run; empty when it is not waiting.
        last: How it ended the time before.
    """

    name: str
    image: str
    ready: bool
    started: bool
    restarts: int
    waiting_reason: str = ""
    waiting_message: str = ""
    running_since: datetime | None = None
    terminated: Termination | None = None
    last: Termination | None = None

    @property
    def end(self) -> Termination | None:
        """How it ended last; None when it has started since, or never ended."""
        if self.terminated is not None:
            return self.terminated
        return None if self.started and self.running_since else self.last

    @property
    def failure(self) -> Termination | None:
        """How it failed last; None when it has got over it, or never failed."""
        end = self.end
        return end if end is not None and (end.exit_code != 0 or end.reason == "OOMKilled") else None


@dataclass(frozen=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Toleration:
    """What taints a pod accepts."""

    key: str
    operator: str
    value: str
    effect: str

    def accepts(self, taint: Taint) -> bool:
        """Whether it makes up for a taint, as the scheduler compares them."""
        if self.effect not in {"", taint.effect} or self.key not in {"", taint.key}:
            return False
        return self.operator == "Exists" or (self.key != "" and self.value == taint.value)


@dataclass(frozen=True)
class NodeState:
    """A node, as far as it matters for finding room and for reaching it.

    Attributes:
        allocatable: What pods may ask for in all, by resource name.
        devices: What it has of resources that are devices, be they healthy or not.
        addresses: Where it is reached, an address from outside first.
    """

    name: str
    ready: bool = True
    cordoned: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    allocatable: Mapping[str, Decimal] = field(default_factory=dict)
    devices: Mapping[str, Decimal] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capacity:
    """All nodes, and what their pods ask for, by node and resource name."""

    nodes: tuple[NodeState, ...]
    used: Mapping[str, Mapping[str, Decimal]]


@dataclass(frozen=True)
class Pricing:
    """What it takes to say what replicas cost.

    Attributes:
        prices: The list; None when it cannot be used.
        fault: Why it cannot.
        nodes: The nodes by name, as far as they are known.
        denied: The nodes may not be read.
    """

    prices: PriceList | None
    fault: str = ""
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    denied: bool = False


@dataclass(frozen=True)
class Requirement:
    """What one label of a node must be."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def is_met(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels will do, as the scheduler compares them."""
        value = labels.get(self.key)
        if self.operator in {"In", "Exists"}:
            return value is not None and (self.operator == "Exists" or value in self.values)
        if self.operator in {"NotIn", "DoesNotExist"}:
            return value is None or (self.operator == "NotIn" and value not in self.values)
        return True


@dataclass(frozen=True)
class BudgetState:
    """What a budget comes to.

    Attributes:
        held: A sentence, where fewer replicas run than were asked for.
        fault: A sentence, where what a replica costs is not known.
        allowed: How many replicas it pays for; None when that is not known.
        price: What one is reckoned to cost an hour; empty when that is not known.
    """

    held: str = ""
    fault: str = ""
    allowed: int | None = None
    price: str = ""


@dataclass(frozen=True)
class Needs:
    """What a pod asks of a node: of places, its node affinity, all of one must be met; without any every node does."""

    requests: Mapping[str, Decimal] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    places: tuple[tuple[Requirement, ...], ...] = ()

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels is one of the places."""
        return not self.places or any(all(item.is_met(labels) for item in place) for place in self.places)


@dataclass(frozen=True)
class Pull:
    """A pull of an image that has begun and not ended."""

    image: str
    since: datetime


@dataclass(frozen=True)
class PodState:
    """One pod.

    Attributes:
        revision: Hash of the pod template; pods of one version share it.
        mount_failure: The kubelet's words on a volume that cannot be mounted; empty when there are none.
        model: The files that it was made with, in words by which they are compared.
        pull: The pull that it waits for, where that was asked for.
        report: What its /readyz said last; None when it was not asked or did not answer.
    """

    name: str
    uid: str
    revision: str
    created_at: datetime | None
    deleting: bool
    phase: str
    reason: str
    message: str
    conditions: dict[str, ConditionState]
    fetch: ContainerState | None
    server: ContainerState | None
    mount_failure: str = ""
    node: str = ""
    address: str = ""
    needs: Needs = field(default_factory=Needs)
    model: str = ""
    pull: Pull | None = None
    report: ReadinessReport | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a container of it has ever run."""
        return any(item.running_since or item.terminated or item.last for item in self.containers)

    @property
    def containers(self) -> tuple[ContainerState, ...]:
        """Its containers that the kubelet has told of, the download first."""
        return tuple(item for item in (self.fetch, self.server) if item is not None)

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        condition = self.conditions.get("Ready")
        return condition is not None and condition.status == "True" and not self.deleting


@dataclass(frozen=True)
class DeploymentState:
    """The Deployment: what was asked and how far it is."""

    generation: int
    observed_generation: int
    wanted: int
    total: int
    updated: int
    ready: int
    conditions: dict[str, ConditionState]

    @property
    def is_seen(self) -> bool:
        """Whether its controller has looked at it since it changed last; the numbers of pods are of before, if not."""
        return self.observed_generation >= self.generation

    @property
    def complete(self) -> bool:
        """Whether exactly the wanted pods of the present version run and are ready."""
        return self.is_seen and self.has_all

    @property
    def has_all(self) -> bool:
        """Whether as many pods as are wanted run, of the version that its controller has seen, and all are ready."""
        return self.updated == self.wanted == self.ready and self.total == self.wanted

    @property
    def named_revision(self) -> str | None:
        """The version whose ReplicaSet its controller named last; None when it named none."""
        progress = self.conditions.get("Progressing")
        name = _REPLICA_SET.search(progress.message) if progress else None
        return name[1] if name else None

    @property
    def lacks_quota(self) -> bool:
        """Whether a quota keeps the newest version's pods from being made, while older ones are there."""
        failure = self.conditions.get("ReplicaFailure")
        exceeded = failure is not None and failure.status == "True" and "exceeded quota" in failure.message
        return exceeded and self.total > self.updated


@dataclass(frozen=True)
class ServiceState:
    """The Service: where it can be reached."""

    type: str
    addresses: tuple[str, ...] = ()
    node_port: int | None = None


@dataclass(frozen=True)
class Reading:
    """What an autoscaler measured last.

    Attributes:
        metric: Name of the metric: cpu, memory, or one of the pods' own.
        average: Over the replicas; of cpu and memory in percent of what they request.
    """

    metric: str
    average: Decimal


@dataclass(frozen=True)
class AutoscalerState:
    """The autoscaler: whether it can do its work, and what it decided by.

    Attributes:
        current: Replicas that it found.
        desired: Replicas that it wants; 0 before it has decided.
    """

    conditions: dict[str, ConditionState]
    current: int = 0
    desired: int = 0
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Something that stopped this pass from making a child what it should be.

    Attributes:
        foreign: The name is taken by an object that is not ours.
        missing_api: The cluster does not know the kind.
        status: HTTP status of the API server's refusal; 0 for a foreign object.
    """

    kind: str
    name: str
    verb: str = ""
    status: int = 0
    message: str = ""
    foreign: bool = False
    missing_api: bool = False


@dataclass(frozen=True)
class Observed:
    """Everything that status depends on besides the plan.

    Attributes:
        pin: Commit that every replica is to use; None while it is not known, and where nothing has to be pinned.
        deleting: The resource is going away.
        finalizers: What holds a resource that is going away.
        behind: The resource is paused, and the Deployment is not what its spec says.
        capacity: The nodes and what is used of them; None when that was not needed or may not be read.
        capacity_denied: The nodes or the pods on them may not be read.
        node_addresses: Where the nodes are reached, when a node port was asked for and they may be read.
        pricing: What it takes to say what it costs; None without a list of prices.
        budget: What its budget comes to; None when it has none.
        scaled_object: What KEDA says of the ScaledObject, and since when there is one; None when there is none.
        metric_sources: Who serves autoscalers with numbers; None when that was not needed or may not be read.
        nodes: The nodes, where an accelerator's memory matters; none where they may not be read, None where not asked.
        held: A sentence, where a new version is held back because its weights cannot fit into its accelerators.
    """

    now: datetime
    deployment: DeploymentState | None = None
    service: ServiceState | None = None
    autoscaler: AutoscalerState | None = None
    pods: tuple[PodState, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    pin: str | None = None
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    behind: bool = False
    capacity: Capacity | None = None
    capacity_denied: bool = False
    node_addresses: tuple[str, ...] = ()
    pricing: Pricing | None = None
    budget: BudgetState | None = None
    scaled_object: ConditionState | None = None
    metric_sources: MetricSources | None = None
    nodes: tuple[NodeState, ...] | None = None
    held: str = ""

    @property
    def newest_pods(self) -> tuple[PodState, ...]:
        """The pods of the newest version that are not being stopped; failures of older ones are history."""
        alive = [pod for pod in self.pods if not pod.deleting and pod.phase not in {"Succeeded", "Failed"}]
        times = [pod.created_at for pod in alive if pod.created_at is not None]
        if not times:
            return tuple(alive)
        # Times are whole seconds: of pods of one second, those that the Deployment speaks of are the newer ones, or
        # else those that do not answer yet.
        last, named = max(times), self.deployment.named_revision if self.deployment else None
        ties = [pod for pod in alive if pod.created_at == last]
        newest = max(ties, key=lambda pod: (pod.revision == named, not pod.ready, pod.name)).revision
        return tuple(pod for pod in alive if pod.revision == newest)

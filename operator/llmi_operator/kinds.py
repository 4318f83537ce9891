"""The kinds of objects the operator deals with, and where the API server keeps them."""

from dataclasses import dataclass

from llmi_api import labels


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes:
        selects_ours: Whether the label that marks our objects narrows listing and watching.
        field_selector: Narrows listing and watching further.
        optional: Whether a cluster may not know the kind.
    """

    group: str
    version: str
    plural: str
    name: str
    selects_ours: bool = True
    field_selector: str = ""
    optional: bool = False

    @property
    def api_version(self) -> str:
        """As manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def label_selector(self) -> str:
        """The selector for listing and watching; empty for none."""
        return f"{labels.MANAGED_BY_LABEL}={labels.MANAGED_BY}" if self.selects_ours else ""

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of a collection, an object or a subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


INFERENCE = Kind(labels.GROUP, labels.VERSION, labels.PLURAL, labels.KIND, selects_ours=False)
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
SERVICE = Kind("", "v1", "services", "Service")
AUTOSCALER = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
POD = Kind("", "v1", "pods", "Pod")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENT = Kind("", "v1", "events", "Event")
MOUNT_EVENT = Kind(
    "", "v1", "events", "Event", selects_ours=False, field_selector="involvedObject.kind=Pod,reason=FailedMount"
)
"""The kubelet says only in an event that a Secret of a volume is missing."""

NODE = Kind("", "v1", "nodes", "Node", selects_ours=False)
PLACED_POD = Kind(
    "", "v1", "pods", "Pod", selects_ours=False,
    field_selector="spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed",
)  # fmt: skip
"""Everybody's pods that take room on a node. These two are read where an optional role allows it, never watched."""

API_SERVICE = Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", selects_ours=False)
"""Read by name where the same role allows it."""

SERVICE_ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
POD_MONITOR = Kind("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor", optional=True)
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", optional=True)
CLAIM_TEMPLATE = Kind("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate", optional=True)

CHILDREN = (
    SERVICE_ACCOUNT,
    NETWORK_POLICY,
    CONFIG_MAP,
    CLAIM,
    CLAIM_TEMPLATE,
    SERVICE,
    DEPLOYMENT,
    AUTOSCALER,
    SCALED_OBJECT,
    DISRUPTION_BUDGET,
    POD_MONITOR,
)
"""What the operator applies."""
LASTING = frozenset({SERVICE_ACCOUNT, NETWORK_POLICY, SERVICE, DEPLOYMENT})
"""Children that every resource has all its life; the others can go before it does."""
WATCHED = (INFERENCE, *CHILDREN, POD, MOUNT_EVENT)
"""What is listed and watched, the resource itself first."""
BY_NAME = {kind.name: kind for kind in CHILDREN}

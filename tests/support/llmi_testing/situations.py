"""Every situation that WHY must tell apart: what is observed, the reason, the words, and the test that makes it real."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from llmi_api.readiness import ReadinessReport, Stage
from llmi_operator.metric_sources import CUSTOM, EXTERNAL, RESOURCE, MetricSource
from llmi_operator.observed import (
    AutoscalerState,
    BudgetState,
    Capacity,
    ContainerState,
    DeploymentState,
    Needs,
    NodeState,
    Observed,
    PodState,
    Pull,
    Reading,
    Refusal,
    Requirement,
    ServiceState,
    Taint,
)
from llmi_testing.observations import (
    ago,
    condition,
    container,
    deployment,
    end,
    failure,
    fetched,
    observed,
    pod,
    ready_pod,
    running,
)

GPU = "nvidia.com/gpu"
WHY = "apiserver/test_why.py"
ADMISSION = "apiserver/test_admission.py"
SCHEDULING = "apiserver/test_scheduling.py"
PROGRESS = "apiserver/test_progress.py"
CHILDREN = "apiserver/test_children.py"
RIGHTS = "apiserver/test_rights.py"
SURROUNDINGS = "faults/lifecycle/test_surroundings.py"


@dataclass(frozen=True)
class Case:
    """A situation.

    Attributes:
        name: What it is, in a few words.
        real: The test that produces it on a real API server or a real cluster, as ``file::function``.
        spec: Fields of the LLMInference.
        seen: What is observed.
        reason: The reason that must come out.
        words: What the sentence must hold, or the whole of it.
        pin: The commit that is pinned.
    """

    name: str
    real: str
    seen: Observed
    reason: str
    words: tuple[str, ...] = ()
    spec: dict[str, Any] = field(default_factory=dict)
    pin: str | None = None


def case(name: str, real: str, seen: Observed, reason: str, *words: str, pin: str | None = None, **spec: Any) -> Case:
    """Write a situation in short."""
    return Case(name=name, real=real, seen=seen, reason=reason, words=words, spec=spec, pin=pin)


def waiting(reason: str, message: str = "", name: str = "server") -> ContainerState:
    """A container that does not run yet."""
    return container(name, waiting_reason=reason, waiting_message=message)


def unschedulable(message: str, needs: Needs | None = None) -> PodState:
    """A pod that the scheduler finds no node for."""
    return pod(conditions={"PodScheduled": condition("False", "Unschedulable", message)}, needs=needs or Needs())


def ended(name: str, *args: Any, **kwargs: Any) -> PodState:
    """A pod with a container that ended and waits to be started anew."""
    state = container(name, waiting_reason="CrashLoopBackOff", last=end(*args, **kwargs), restarts=1)
    return pod(**{name: state})


def gave_up(name: str, code: str, fact: str, step: str) -> Observed:
    """A container that left a code behind."""
    return observed(ended(name, 64, failure(code, fact, step)))


def not_made(message: str) -> Observed:
    """A Deployment whose pods the API server refuses."""
    return observed(deployment=deployment(conditions={"ReplicaFailure": condition("True", "FailedCreate", message)}))


def mount(message: str) -> PodState:
    """A pod whose volume cannot be mounted."""
    return pod(fetch=waiting("PodInitializing", name="fetch"), mount_failure=message)


def node(name: str, *, taint: str = "", **changes: Any) -> NodeState:
    """A node with 4 cores, 8 GiB, and other things on request."""
    more = changes.pop("more", {})
    amounts = {"cpu": Decimal(4), "memory": Decimal(8 * 2**30), **more}
    taints = (Taint(taint, "", "NoSchedule"),) if taint else ()
    return NodeState(name=name, allocatable=amounts, taints=taints, **changes)


def gpus(count: int) -> dict[str, Decimal]:
    """So many GPUs."""
    return {GPU: Decimal(count)}


def report(stage: Stage, phase: str, **numbers: Any) -> ReadinessReport:
    """What /readyz of a replica says."""
    return ReadinessReport(stage=stage, phase=phase, **numbers)


def _crowded() -> Capacity:
    nodes = (node("a", more=gpus(2)), node("b", taint="spot", more=gpus(1)), node("c"))
    return Capacity(nodes, {"a": gpus(2)})


def _of_products() -> Capacity:
    other = node("a", more=gpus(1), labels={"nvidia.com/gpu.product": "Tesla-T4"})
    return Capacity((other, node("b", more=gpus(1)), node("c")), {})


def _fallen_off() -> Capacity:
    broken = (node("b", devices=gpus(1)), node("c", devices=gpus(4)))
    return Capacity((node("a", more=gpus(2)), *broken), {"a": gpus(2)})


def _cordoned() -> Capacity:
    nodes = (node("a", more=gpus(2)), node("b", more=gpus(4), cordoned=True), node("c", more=gpus(1), ready=False))
    return Capacity(nodes, {"a": gpus(1)})


def _stuck() -> DeploymentState:
    return deployment(conditions={"Progressing": condition("False", "ProgressDeadlineExceeded")})


L4 = (Requirement("nvidia.com/gpu.product", "In", ("NVIDIA-L4",)),)
ONE_GPU = Needs(requests=gpus(1))
COMMIT_A, COMMIT_B = "a" * 40, "b" * 40
DENIED = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu."
TOKEN = {"model": {"id": "a/b", "tokenSecret": {"name": "hf"}}}
CLAIM = {"model": {"claim": {"name": "models"}}}
BIG = {"resources": {"requests": {"cpu": "64"}}}

WELL = (
    case("all is well", f"{WHY}::test_from_download_to_serving", observed(ready_pod(), deployment=deployment(1, ready=1)), "Serving"),
    case("scaled to zero", f"{WHY}::test_scaled_to_zero_and_back", observed(deployment=deployment(0)), "ScaledToZero", "Nothing answers, as asked for: set spec.replicas to 1 or more to serve.", replicas=0),
    case("asleep until a query tells of requests", "apiserver/test_keda.py::test_a_model_that_keda_has_put_to_sleep_says_so", observed(deployment=deployment(0)), "ScaledToZero", "No replica runs, because nothing asks for one: KEDA starts one when the query of spec.autoscaling.wakeUp.prometheus gives more than 0.", autoscaling={"backend": "keda", "minReplicas": 0, "maxReplicas": 3, "wakeUp": {"prometheus": {"serverAddress": "http://p", "query": "q"}}}),
    case("asleep until a request comes", "apiserver/test_keda.py::test_a_model_that_keda_has_put_to_sleep_says_so", observed(deployment=deployment(0)), "ScaledToZero", "No replica runs, because nothing asks for one: KEDA starts one when a request comes by the InterceptorRoute bert.", autoscaling={"backend": "keda", "minReplicas": 0, "maxReplicas": 3, "wakeUp": {"httpAddOn": {"interceptorRoute": "bert"}}}),
    case("asleep, and nothing wakes it any more", "apiserver/test_keda.py::test_without_keda_it_says_what_to_install", observed(deployment=deployment(0), refusals=(Refusal("ScaledObject", "bert", missing_api=True),)), "ApiMissing", "This cluster has no ScaledObject: install KEDA, or set spec.autoscaling.backend to hpa and minReplicas to 1 or more.", autoscaling={"backend": "keda", "minReplicas": 0, "maxReplicas": 3, "wakeUp": {"httpAddOn": {"interceptorRoute": "bert"}}}),
    case("paused", f"{WHY}::test_paused_and_on_again", observed(ready_pod(), deployment=deployment(1, ready=1)), "Paused", "Paused, as asked for: edits wait until spec.paused is false.", paused=True),
    case("held by a finalizer while it is deleted", f"{WHY}::test_a_resource_that_something_holds_while_it_is_deleted", observed(deleting=True, finalizers=("example.com/backup",)), "Deleting", "It is being deleted, and waits for the finalizer example.com/backup: whoever set that must take it away."),
    case("deleted after what belongs to it", f"{WHY}::test_a_resource_that_something_holds_while_it_is_deleted", observed(deleting=True, finalizers=("foregroundDeletion",)), "Deleting", "It is being deleted, after what belongs to it."),
    case("pods are being made", f"{CHILDREN}::test_creating_makes_deployment_service_and_status", observed(), "Starting", "The replicas are being started."),
    case("an image is being pulled", f"{WHY}::test_an_image_that_is_being_pulled", observed(pod(node="worker-1", server=waiting("ContainerCreating"), pull=Pull("llminference/server:dev", ago(95)))), "PullingImage", "The node worker-1 has been pulling the image llminference/server:dev for 1 min 30 s."),
    case("waiting in a queue", f"{ADMISSION}::test_pods_that_a_queue_holds_back", observed(pod("bert-1-a", conditions={"PodScheduled": condition("False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")})), "Queued", "The replica bert-1-a waits in the queue gpus until Kueue admits it: see kubectl -n models get workloads, or correct spec.scheduling.queueName.", scheduling={"queueName": "gpus"}),
    case("held back by a scheduling gate", f"{ADMISSION}::test_pods_that_a_queue_holds_back", observed(pod("bert-1-a", conditions={"PodScheduled": condition("False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")})), "Queued", "The replica bert-1-a is held back by a scheduling gate: see kubectl -n models get pod bert-1-a -o yaml, and whoever set it must take it away."),
    case("downloading, with progress", f"{PROGRESS}::test_a_download_says_how_far_it_is", observed(pod(fetch=running("fetch"), report=report(Stage.FETCHING, "files", done_bytes=536_000_000, total_bytes=1_340_000_000, bytes_per_second=85e6))), "Downloading", "Downloading google-bert/bert-large-uncased: 0.5 of 1.3 GB (40 %) at 85 MB/s."),
    case("loading, with progress", f"{PROGRESS}::test_a_server_that_loads_says_how_far_it_is", observed(pod(server=running(), report=report(Stage.LOADING, "weights", done_bytes=670_000_000, total_bytes=1_340_000_000))), "Loading", "The server is loading google-bert/bert-large-uncased: weights, 0.7 of 1.3 GB (50 %)."),
    case("more replicas are starting", f"{WHY}::test_scaling_out", observed(ready_pod(), pod("b"), deployment=deployment(2, ready=1)), "Scaling", "1 of 2 replicas answer, more are starting.", replicas=2),
    case("no load balancer address", f"{WHY}::test_a_load_balancer_without_address_does_not_hold_back_ready", observed(ready_pod(), deployment=deployment(1, ready=1), service=ServiceState("LoadBalancer")), "AddressPending", "Waiting for a load balancer address; inside the cluster the URL answers: without a load balancer here, use spec.service.type NodePort or ClusterIP.", service={"type": "LoadBalancer"}),
    case("an autoscaler without metrics", f"{WHY}::test_an_autoscaler_without_metrics", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetResourceMetric", "no metrics returned from resource metrics API", 300)})), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (no metrics returned from resource metrics API): install metrics-server, or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3}),
    case("an autoscaler without custom metrics", f"{WHY}::test_an_autoscaler_by_the_queue_without_a_custom_metrics_api", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetPodsMetric", "unable to get metric llmi_requests_in_flight: no custom metrics API registered", 300)})), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (unable to get metric llmi_requests_in_flight: no custom metrics API registered): install a custom metrics API, such as ours (kubectl apply -k deploy/metrics-adapter), or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("a custom metrics API that does not know the metric", "apiserver/test_metric_sources.py::test_an_autoscaler_by_the_queue_where_another_program_serves_custom_metrics", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetPodsMetric", "unable to get metric llmi_requests_in_flight: no custom metrics API registered", 300)}), metric_sources={CUSTOM: MetricSource("prometheus-adapter", "monitoring")}), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (unable to get metric llmi_requests_in_flight: no custom metrics API registered): prometheus-adapter in monitoring serves custom.metrics.k8s.io and does not know llmi_requests_in_flight: give it the rule of docs/scaling.md, or remove it and install ours (kubectl apply -k deploy/metrics-adapter), or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("a custom metrics API that does not answer", "apiserver/test_metric_sources.py::test_an_autoscaler_by_the_queue_where_another_program_serves_custom_metrics", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetPodsMetric", "unable to get metric llmi_requests_in_flight: no custom metrics API registered", 300)}), metric_sources={CUSTOM: MetricSource("prometheus-adapter", "monitoring", "no endpoints.")}), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (unable to get metric llmi_requests_in_flight: no custom metrics API registered): see to prometheus-adapter in monitoring, which is registered for custom.metrics.k8s.io and does not answer (no endpoints), or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("our adapter without numbers", "apiserver/test_metric_sources.py::test_an_autoscaler_by_the_queue_where_another_program_serves_custom_metrics", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetPodsMetric", "unable to get metric llmi_requests_in_flight: no custom metrics API registered", 300)}), metric_sources={CUSTOM: MetricSource("llminference-metrics-adapter", "llminference-system")}), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (unable to get metric llmi_requests_in_flight: no custom metrics API registered): llminference-metrics-adapter in llminference-system answers, and has no numbers of these replicas: see its log (kubectl -n llminference-system logs deploy/llminference-metrics-adapter), or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("a metrics-server that does not answer", "apiserver/test_metric_sources.py::test_an_autoscaler_by_the_queue_where_another_program_serves_custom_metrics", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetResourceMetric", "no metrics returned from resource metrics API", 300)}), metric_sources={RESOURCE: MetricSource("metrics-server", "kube-system", "no endpoints")}), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (no metrics returned from resource metrics API): see to metrics-server in kube-system, which is registered for metrics.k8s.io and does not answer (no endpoints), or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3}),
    case("a metrics-server without numbers", "apiserver/test_metric_sources.py::test_an_autoscaler_by_the_queue_where_another_program_serves_custom_metrics", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetResourceMetric", "no metrics returned from resource metrics API", 300)}), metric_sources={RESOURCE: MetricSource("metrics-server", "kube-system")}), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (no metrics returned from resource metrics API): metrics-server in kube-system answers, and has no numbers of these replicas: see its log, or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3}),
    case("an autoscaler that hears nothing of the queue", f"{WHY}::test_an_autoscaler_that_hears_nothing_of_the_queue", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("True", "ValidMetricFound")}, 1, 1, (Reading("cpu", Decimal(30)),))), "AutoscalerBlind", "The autoscaler is told nothing of requests in flight and goes by its other targets: install a custom metrics API, such as ours (kubectl apply -k deploy/metrics-adapter), or remove spec.autoscaling.targets.inFlightPerReplica.", autoscaling={"maxReplicas": 3, "targets": {"cpuPercent": 70, "inFlightPerReplica": 10}}),
    case("two autoscalers at the same replicas", f"{WHY}::test_an_autoscaler_that_another_one_is_in_the_way_of", observed(ready_pod(), deployment=deployment(1, ready=1), autoscaler=AutoscalerState({"ScalingActive": condition("False", "AmbiguousSelector", "pods by selector a=b are controlled by multiple HPAs: [models/bert models/mine]", 300)})), "AutoscalerBlind", "Another autoscaler is at the same replicas, so neither scales them (pods by selector a=b are controlled by multiple HPAs: [models/bert models/mine]): delete that one (kubectl get hpa), or set spec.replicas in place of spec.autoscaling.", autoscaling={"maxReplicas": 3}),
    case("KEDA that does nothing", "apiserver/test_keda.py::test_a_keda_that_does_nothing_is_told", observed(ready_pod(), deployment=deployment(1, ready=1), scaled_object=condition("Unknown", seconds=300)), "AutoscalerBlind", "KEDA has made no autoscaler of the ScaledObject bert, so the number of replicas stays (it has not looked at it): see that KEDA's operator runs, and kubectl describe scaledobject bert; or set spec.autoscaling.backend to hpa.", autoscaling={"backend": "keda", "maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("KEDA that refuses", "apiserver/test_keda.py::test_a_keda_that_does_nothing_is_told", observed(ready_pod(), deployment=deployment(1, ready=1), scaled_object=condition("False", "ScaledObjectCheckFailed", "Failed to ensure HPA is correctly created for ScaledObject", 300)), "AutoscalerBlind", "(Failed to ensure HPA is correctly created for ScaledObject): see that KEDA's operator runs", autoscaling={"backend": "keda", "maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("a new ScaledObject", "apiserver/test_keda.py::test_a_keda_that_does_nothing_is_told", observed(ready_pod(), deployment=deployment(1, ready=1), scaled_object=condition("Unknown", seconds=30)), "Serving", autoscaling={"backend": "keda", "maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("KEDA that does not reach the replicas", "apiserver/test_keda.py::test_a_keda_that_does_not_reach_the_replicas_is_told", observed(ready_pod(), deployment=deployment(1, ready=1), scaled_object=condition("True", seconds=600), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetExternalMetric", "unable to get external metric", 300)})), "AutoscalerBlind", "The autoscaler gets no metrics, so the number of replicas stays (unable to get external metric): see kubectl describe scaledobject bert, and let KEDA's operator reach the replicas at port 8080 (spec.access.allowFrom, unless it is in the namespace keda), or set spec.replicas in place of spec.autoscaling.", autoscaling={"backend": "keda", "maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("KEDA's metrics API silent", "apiserver/test_keda.py::test_a_keda_that_does_not_reach_the_replicas_is_told", observed(ready_pod(), deployment=deployment(1, ready=1), scaled_object=condition("True", seconds=600), autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetExternalMetric", "unable to get external metric", 300)}), metric_sources={EXTERNAL: MetricSource("keda-operator-metrics-apiserver", "keda", "no endpoints")}), "AutoscalerBlind", "see to keda-operator-metrics-apiserver in keda, which is registered for external.metrics.k8s.io and does not answer (no endpoints)", autoscaling={"backend": "keda", "maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}),
    case("held by a budget", f"{SCHEDULING}::test_a_budget_holds_the_replicas_and_says_the_arithmetic", observed(ready_pod(), deployment=deployment(1, ready=1), budget=BudgetState(held="At most 2 of 8 replicas run: each costs up to 1.0060 USD an hour, and the 2.50 of spec.budget.perHour pay for 2. Raise spec.budget.perHour, or lower what a replica requests.", allowed=2, price="1.0060")), "BudgetHeld", "At most 2 of 8 replicas run: each costs up to 1.0060 USD an hour, and the 2.50 of spec.budget.perHour pay for 2. Raise spec.budget.perHour, or lower what a replica requests.", replicas=8, budget={"perHour": "2.50"}),
    case("a budget without prices", f"{SCHEDULING}::test_a_budget_holds_the_replicas_and_says_the_arithmetic", observed(ready_pod(), deployment=deployment(1, ready=1), budget=BudgetState(fault="spec.budget holds nothing back, because the operator has no list of prices: give it one, see docs/cost.md.")), "BudgetUnknown", "spec.budget holds nothing back, because the operator has no list of prices: give it one, see docs/cost.md.", replicas=1, budget={"perHour": "2.50"}),
    case("replicas of different commits", f"{WHY}::test_a_replica_of_another_commit", observed(ready_pod("bert-1-a", fetch=fetched(COMMIT_A)), ready_pod("bert-1-b", fetch=fetched(COMMIT_B)), deployment=deployment(2, ready=2)), "MixedRevisions", "The replica bert-1-b serves commit bbbbbbbbbbbb, not the pinned aaaaaaaaaaaa: delete that pod, and its successor fetches the pinned one.", replicas=2, pin=COMMIT_A),
)  # fmt: skip

SPEC_AND_RIGHTS = (
    case("name taken", f"{CHILDREN}::test_a_foreign_object_of_the_same_name_is_left_alone_and_named", observed(refusals=(Refusal("Service", "bert", foreign=True, message="StatefulSet db"),)), "NameTaken", "There already is a Service bert that is not ours (it belongs to StatefulSet db), so it is left alone: delete or rename it, or give this LLMInference another name."),
    case("child refused", f"{CHILDREN}::test_what_the_api_server_refuses_is_said_in_its_words", observed(refusals=(Refusal("Deployment", "bert", verb="apply", status=422, message="spec.template.spec.tolerations[0]: bad value"),)), "Refused", "The API server refuses the Deployment bert: spec.template.spec.tolerations[0]: bad value. Correct the spec, or ask who set this rule."),
    case("right to write missing", f"{RIGHTS}::test_a_missing_right_is_named_and_tried_again", observed(refusals=(Refusal("Service", "bert", verb="apply", status=403, message='User "operator" cannot patch resource "services"'),)), "Forbidden", 'The operator may not apply Service bert: grant it that in its Role (User "operator" cannot patch resource "services").'),
    case("right to read missing", f"{RIGHTS}::test_a_missing_right_to_list_is_named_and_tried_again", observed(refusals=(Refusal("Pod", "", verb="list", status=403, message='User "operator" cannot list resource "pods"'),)), "Forbidden", 'The operator may not list Pods: grant it that in its Role (User "operator" cannot list resource "pods").'),
    case("webhook silent", f"{SURROUNDINGS}::test_a_webhook_that_does_not_answer_is_waited_for_and_named", observed(refusals=(Refusal("Service", "bert", verb="apply", status=500, message='failed calling webhook "costs.example.com": context deadline exceeded'),)), "ApiFailing", 'The API server fails to apply the Service bert: failed calling webhook "costs.example.com": context deadline exceeded. It is tried again; see to the webhook that is named, or to the API server.'),
    case("kind not served", f"{WHY}::test_a_kind_that_the_cluster_does_not_have", observed(ready_pod(), deployment=deployment(1, ready=1), refusals=(Refusal("PodMonitor", "bert", missing_api=True),)), "ApiMissing", "This cluster has no PodMonitor: install what brings it, or set spec.observability.metrics.podMonitor to false.", observability={"metrics": {"podMonitor": True}}),
    case("KEDA not installed", "apiserver/test_keda.py::test_without_keda_it_says_what_to_install", observed(ready_pod(), deployment=deployment(1, ready=1), refusals=(Refusal("ScaledObject", "bert", missing_api=True),)), "ApiMissing", "This cluster has no ScaledObject: install KEDA, or set spec.autoscaling.backend to hpa and minReplicas to 1 or more.", autoscaling={"backend": "keda", "maxReplicas": 3}),
    case("devices cannot be claimed", f"{SCHEDULING}::test_devices_by_claim_where_the_api_is_not_served", observed(refusals=(Refusal("ResourceClaimTemplate", "bert-1", missing_api=True),)), "ApiMissing", "This cluster has no ResourceClaimTemplate (resource.k8s.io/v1), so no replica is made or changed: use Kubernetes 1.34 or newer, or set spec.accelerator.resource and count in place of spec.accelerator.dra.", accelerator={"dra": {"deviceClassName": "gpu.nvidia.com"}}),
    case("quota", f"{ADMISSION}::test_a_quota_that_allows_no_pod", not_made('pods "b" is forbidden: exceeded quota: q, requested: memory=3Gi, used: memory=0, limited: memory=1Gi'), "QuotaExceeded", "No more pods fit the namespace's ResourceQuota (q, requested: memory=3Gi, used: memory=0, limited: memory=1Gi): lower spec.resources or spec.replicas, or have the quota raised."),
    case("limit range", f"{ADMISSION}::test_a_limit_range_that_allows_no_pod", not_made('pods "b" is forbidden: maximum memory usage per Container is 1Gi, but limit is 3Gi'), "LimitRangeExceeded", "The namespace's LimitRange refuses the pods: maximum memory usage per Container is 1Gi, but limit is 3Gi. Set spec.resources within it, or have the LimitRange changed."),
    case("Pod Security", f"{ADMISSION}::test_pods_that_a_policy_makes_break_pod_security", not_made('pods "b" is forbidden: violates PodSecurity "restricted:latest": privileged (container)'), "PodSecurityRefused", 'Pod Security of the namespace refuses the pods: violates PodSecurity "restricted:latest": privileged (container). Look for a webhook that changes pods, or for an edit of the Deployment bert.'),
    case("no runtime class", f"{ADMISSION}::test_a_runtime_class_that_does_not_exist", not_made('pods "bert-1-" is forbidden: pod rejected: RuntimeClass "nvidia" not found'), "Refused", "There is no RuntimeClass nvidia: correct spec.scheduling.runtimeClassName, or have the class made.", scheduling={"runtimeClassName": "nvidia"}),
    case("another admission policy", f"{ADMISSION}::test_pods_that_another_policy_refuses", not_made('pods "b" is forbidden: ValidatingAdmissionPolicy no denied request: not on Fridays'), "Refused", "The API server refuses new pods:", "not on Fridays"),
)  # fmt: skip

NODES = (
    case("weights larger than what every product has", f"{SCHEDULING}::test_a_gpu_that_cannot_hold_the_weights_is_told_and_a_version_that_only_such_could_run_is_not_begun", observed(ready_pod(), deployment=deployment(1, ready=1), held="The model's weights alone take 40960 MiB in bfloat16, and a replica gets 1 x Tesla-T4 with at most 16384 MiB (by its name) (OutOfMemory), so no replica of this version is made. Name a device with more memory in spec.accelerator.products, or choose a smaller model."), "OutOfMemory", "so no replica of this version is made. Name a device with more memory in spec.accelerator.products, or choose a smaller model.", accelerator={"products": ["Tesla-T4"]}),
    case("weights larger than the GPU that it got", f"{SCHEDULING}::test_a_gpu_that_cannot_hold_the_weights_is_told_and_a_version_that_only_such_could_run_is_not_begun", observed(pod(node="a", fetch=running("fetch"), report=report(Stage.FETCHING, "download", weights_by_precision={"bfloat16": 40 * 2**30})), nodes=(node("a", more=gpus(1), labels={"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}),)), "OutOfMemory", "The model's weights alone take 40960 MiB in bfloat16, and a replica gets 1 x NVIDIA-L4 with 23034 MiB (nvidia.com/gpu.memory) (OutOfMemory). Name a device with more memory in spec.accelerator.products, or choose a smaller model.", accelerator={}),
    case("no node has the GPU", f"{SCHEDULING}::test_no_node_has_the_gpu", observed(unschedulable("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.", ONE_GPU), capacity=Capacity((node("a"), node("b")), {})), "Unschedulable", "No node has a nvidia.com/gpu: none of 2 offers it. Install its device plugin, add a node that has one, or correct spec.accelerator.resource.", accelerator={}),
    case("all GPUs in use or tainted", f"{SCHEDULING}::test_gpus_that_are_in_use_or_tainted_are_counted", observed(unschedulable(DENIED, ONE_GPU), capacity=_crowded()), "Unschedulable", "0/3 nodes have a free nvidia.com/gpu: 1 has all 2 in use, 1 has the taint spot, 1 has none. Free one, tolerate spot in spec.scheduling.tolerations, or add a node.", accelerator={}),
    case("GPUs on a cordoned or dead node", f"{SCHEDULING}::test_a_gpu_on_a_cordoned_node_or_behind_a_selector", observed(unschedulable(DENIED, Needs(requests=gpus(2))), capacity=_cordoned()), "Unschedulable", "0/3 nodes have 2 free nvidia.com/gpu: 1 has 1 of 2 free, 1 is cordoned, 1 is not ready. Free more, uncordon b, or add a node.", accelerator={"count": 2}),
    case("GPUs behind a selector", f"{SCHEDULING}::test_a_gpu_on_a_cordoned_node_or_behind_a_selector", observed(unschedulable(DENIED, Needs(requests=gpus(1), selector={"pool": "x"})), capacity=Capacity((node("a", more=gpus(2)),), {})), "Unschedulable", "0/1 nodes have a free nvidia.com/gpu: 1 does not have the label pool=x of spec.scheduling.nodeSelector. Correct spec.scheduling.nodeSelector, or add a node.", accelerator={}, scheduling={"nodeSelector": {"pool": "x"}}),
    case("waits for an older one's GPU", "apiserver/test_rollout.py::test_the_only_replica_on_the_only_gpu_makes_room_and_it_is_said_that_nobody_answers", observed(unschedulable(DENIED, ONE_GPU), ready_pod("old", deleting=True, revision="0", created_at=ago(900))), "Starting", "The replica bert-1-a waits for an older one to stop, which takes at most 45 s.", accelerator={}),
    case("GPUs of another product", f"{SCHEDULING}::test_a_gpu_of_another_product_is_named", observed(unschedulable(DENIED, Needs(requests=gpus(1), places=(L4,))), capacity=_of_products()), "Unschedulable", "0/3 nodes have a free nvidia.com/gpu of the product NVIDIA-L4: 1 is Tesla-T4, 1 has no label nvidia.com/gpu.product, 1 has none. Allow Tesla-T4 in spec.accelerator.products, or add a node.", accelerator={"products": ["NVIDIA-L4"]}),
    case("GPUs without a product", f"{SCHEDULING}::test_a_gpu_of_another_product_is_named", observed(unschedulable(DENIED, Needs(requests=gpus(1), places=(L4,))), capacity=Capacity((node("a", more=gpus(1)),), {})), "Unschedulable", "0/1 nodes have a free nvidia.com/gpu of the product NVIDIA-L4 or Tesla-T4: 1 has no label nvidia.com/gpu.product. Label the nodes, set spec.accelerator.platform, or add a node.", accelerator={"products": ["Tesla-T4", "NVIDIA-L4"]}),
    case("GPUs of another product, and nodes may not be read", f"{SCHEDULING}::test_without_the_right_to_read_nodes_the_sentence_is_coarser_and_names_the_grant", observed(unschedulable("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."), capacity_denied=True), "Unschedulable", "0/2 nodes can take a replica: 2 do not have the product NVIDIA-L4. Correct spec.accelerator.products, or label a node so.", accelerator={"products": ["NVIDIA-L4"]}),
    case("GPUs that fell off", f"{SCHEDULING}::test_a_gpu_that_fell_off_is_told_from_a_node_that_has_none", observed(unschedulable(DENIED, ONE_GPU), capacity=_fallen_off()), "Unschedulable", "0/3 nodes have a free nvidia.com/gpu: 1 has all 2 in use, that of b is not healthy, c has 4, none of them healthy. Free one, see to the driver and the device plugin on b, or add a node.", accelerator={}),
    case("no device class", f"{SCHEDULING}::test_devices_by_claim", observed(unschedulable("0/1 nodes are available: request devices: device class gpu.example.com does not exist.")), "Unschedulable", "There is no DeviceClass gpu.example.com: install its DRA driver, or correct spec.accelerator.dra.deviceClassName.", accelerator={"dra": {"deviceClassName": "gpu.example.com"}}),
    case("all devices claimed", f"{SCHEDULING}::test_devices_by_claim", observed(unschedulable("0/1 nodes are available: 1 cannot allocate all claims.")), "Unschedulable", "0/1 nodes can take a replica: 1 has no free device that spec.accelerator.dra asks for. Free a device, correct spec.accelerator.dra, or add a node that has one.", accelerator={"dra": {"deviceClassName": "gpu.example.com"}}),
    case("nodes have a replica already", f"{SCHEDULING}::test_replicas_that_must_keep_apart", observed(unschedulable("0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints."), capacity=Capacity((node("a"),), {})), "Unschedulable", "0/1 nodes can take a replica: 1 may not have one more while another has fewer. Set spec.scheduling.spread to Preferred, or add a node.", scheduling={"spread": "Required"}),
    case("nodes may not be read", f"{SCHEDULING}::test_without_the_right_to_read_nodes_the_sentence_is_coarser_and_names_the_grant", observed(unschedulable(DENIED, ONE_GPU), capacity_denied=True), "Unschedulable", "1 has a taint that is not tolerated, 2 have no free nvidia.com/gpu", "Grant the operator the role in deploy/cluster-reader, and it counts the nodes by cause.", accelerator={}),
    case("too little CPU", f"{SCHEDULING}::test_too_little_cpu_says_how_much_there_is", observed(unschedulable("0/2 nodes are available: 2 Insufficient cpu.", Needs(requests={"cpu": Decimal(64)})), capacity=Capacity((node("a"), node("b")), {"a": {"cpu": Decimal("0.8")}})), "Unschedulable", "0/2 nodes can take a replica: 2 have too little free CPU (at most 4 of 4, and a replica asks for 64). Lower spec.resources.requests, or add a node.", **BIG),
    case("too little memory", f"{SCHEDULING}::test_too_little_memory_says_how_much_there_is", observed(unschedulable("0/1 nodes are available: 1 Insufficient memory.", Needs(requests={"memory": Decimal(3 * 2**30)})), capacity=Capacity((node("a"),), {"a": {"memory": Decimal(6 * 2**30)}})), "Unschedulable", "1 has too little free memory (2Gi of 8Gi, and a replica asks for 3Gi)"),
    case("claim missing", f"{SCHEDULING}::test_a_claim_that_does_not_exist", observed(unschedulable('0/1 nodes are available: persistentvolumeclaim "models" not found. preemption: x')), "VolumeUnavailable", "The claim models does not exist: create it in this namespace, or correct spec.model.claim.name.", **CLAIM),
    case("claim unbound", f"{SCHEDULING}::test_a_claim_without_a_volume", observed(unschedulable("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")), "VolumeUnavailable", "The claim models has no volume that a node can use", "kubectl describe pvc", **CLAIM),
    case("claim in another zone", f"{SCHEDULING}::test_a_claim_in_another_zone", observed(unschedulable("0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.")), "VolumeUnavailable", "The claim models lies in a zone or on a node where no replica can run", **CLAIM),
    case("image not found", f"{WHY}::test_an_image_that_cannot_be_pulled", observed(pod(server=waiting("ImagePullBackOff", 'pulling "corp/server:1": not found'))), "ImageUnavailable", "The image corp/server:1 does not exist: correct spec.engine.image, or push the image.", engine={"image": "corp/server:1"}),
    case("no right to pull", f"{WHY}::test_an_image_that_cannot_be_pulled", observed(pod(server=waiting("ErrImagePull", "401 Unauthorized"))), "ImageUnavailable", "corp/server:1 may not be pulled", "name a pull secret in spec.engine.imagePullSecrets, or correct spec.engine.image", engine={"image": "corp/server:1"}),
    case("pulls limited", f"{WHY}::test_an_image_that_cannot_be_pulled", observed(pod(server=waiting("ErrImagePull", "429 Too Many Requests - toomanyrequests: You have reached your pull rate limit"))), "ImageUnavailable", "may not be pulled for now, its registry limits the rate: wait, name a pull secret in spec.engine.imagePullSecrets"),
    case("registry silent", f"{WHY}::test_an_image_that_cannot_be_pulled", observed(pod(server=waiting("ErrImagePull", "dial tcp: lookup x: no such host"))), "ImageUnavailable", "its registry does not answer"),
    case("Secret missing", f"{WHY}::test_a_missing_secret_is_known_from_the_kubelets_event", observed(mount('MountVolume.SetUp failed for volume "hub-token" : secret "hf" not found')), "SecretMissing", "The Secret hf for spec.model.tokenSecret does not exist: create it in the namespace models, or correct spec.model.tokenSecret.", **TOKEN),
    case("key of a Secret missing", f"{WHY}::test_a_missing_key_is_known_from_the_kubelets_event", observed(mount('MountVolume.SetUp failed for volume "hub-token" : references non-existent secret key: token')), "SecretMissing", "The Secret hf has no key token", **TOKEN),
    case("thrown out", f"{WHY}::test_a_replica_that_a_node_threw_out", observed(pod("a", phase="Failed", reason="Evicted", message="The node was low on disk."), pod("b")), "Evicted", "A node threw a replica out: The node was low on disk. Raise spec.resources.requests, so that it goes where there is room."),
    case("node lost", f"{SCHEDULING}::test_a_node_that_is_lost", observed(ready_pod("bert-1-a", node="worker-1", conditions={"PodScheduled": condition("True"), "Ready": condition("False"), "ContainersReady": condition("True")})), "NodeLost", "The node worker-1 of the replica bert-1-a does not report: the replica is replaced 5 minutes after that. See kubectl describe node worker-1."),
)  # fmt: skip

CONTAINERS = (
    case("killed by the kernel", f"{WHY}::test_out_of_memory_names_the_limit", observed(ended("server", 137, reason="OOMKilled")), "OutOfMemory", "The server was killed at its memory limit of 512Mi: raise spec.resources.limits.memory and spec.resources.requests.memory, or lower spec.limits.maxBatchTokens.", resources={"limits": {"memory": "512Mi"}}),
    case("crash loop", f"{WHY}::test_a_crash_loop_shows_the_last_line", observed(ended("server", 1, "line\nValueError: no\n")), "CrashLoop", "The server ended with exit code 1 (ValueError: no): see kubectl logs bert-1-a -c server --previous."),
    case("killed while loading", f"{WHY}::test_a_server_that_is_too_slow_for_its_probe", observed(ended("server", 137, ran=110)), "ProbeFailing", "The server did not answer /readyz within 100 s and was restarted: raise spec.rollout.startupTimeoutSeconds, or see what it does with kubectl logs bert-1-a -c server.", rollout={"startupTimeoutSeconds": 100}),
    case("killed while loading, with progress", f"{PROGRESS}::test_a_server_that_is_killed_while_it_loads_says_how_far_it_was", observed(pod(server=container(waiting_reason="CrashLoopBackOff", last=end(137, ran=110), restarts=1), report=report(Stage.LOADING, "weights", done_bytes=670_000_000, total_bytes=1_340_000_000))), "ProbeFailing", "was restarted (it was at weights, 0.7 of 1.3 GB (50 %)): raise", rollout={"startupTimeoutSeconds": 100}),
    case("silent", f"{WHY}::test_a_server_that_falls_silent", observed(pod(server=running(started=True), conditions={"Ready": condition("False", seconds=50)})), "ProbeFailing", "runs but does not answer /readyz"),
    case("rollout stuck", f"{WHY}::test_a_rollout_that_is_stuck", observed(deployment=_stuck()), "RolloutStuck", "The new replicas did not become ready in time: see kubectl describe pods -l llminference.dev/llminference=bert, or raise spec.rollout.startupTimeoutSeconds."),
    case("cache claim full", f"{WHY}::test_a_cache_that_is_full", gave_up("fetch", "DiskFull", "The model needs 1281 MiB of disk in /cache and 900 MiB are free.", "Give more room."), "DiskFull", "(DiskFull). Raise spec.model.cache.size.", model={"id": "a/b", "cache": {"size": "1Gi"}}),
    case("shared cache claim full", f"{WHY}::test_a_cache_that_is_full", gave_up("fetch", "DiskFull", "The model needs 1281 MiB of disk in /cache and 900 MiB are free.", "Give more room."), "DiskFull", "Free room on the claim shared", model={"id": "a/b", "cache": {"claim": "shared"}}),
    case("a code that is newer than the operator, of the download", f"{WHY}::test_a_code_that_the_operator_does_not_know", gave_up("fetch", "MoonFull", "The moon is full.", "Wait a week."), "FetchFailed", "The moon is full (MoonFull). Wait a week."),
    case("a code that is newer than the operator, of the server", f"{WHY}::test_a_code_that_the_operator_does_not_know", gave_up("server", "SunDown", "The sun is down.", "Wait until morning."), "StartFailed", "The sun is down (SunDown). Wait until morning."),
)  # fmt: skip

GAVE_UP = {
    "RepositoryUnknown": ("fetch", "The repository a/b is unknown to https://huggingface.co, or private.", "Check the model's id; for a private model give a token that may read it."),
    "RevisionUnknown": ("fetch", "The repository a/b has no revision v9.", "Set revision to a branch, tag or commit that the repository has, or leave it out."),
    "AccessGated": ("fetch", "The repository a/b is gated and access was not granted.", "Ask for access at https://huggingface.co/a/b, and give the token of that account."),
    "TokenMissing": ("fetch", "https://huggingface.co wants a token for a/b, and none was given.", "Put a token into a Secret and name it in spec.model.tokenSecret."),
    "TokenRefused": ("fetch", "https://huggingface.co refused the token for a/b.", "Check that the token is valid, not expired, and may read this model."),
    "NoSafetensors": ("fetch", "The repository a/b has pytorch_model.bin and no safetensors.", "Choose a revision or a model with safetensors weights, or convert them; pickles are refused."),
    "DiskFull": ("fetch", "The model needs 1281 MiB of disk in /model and 900 MiB are free.", "Give the model's volume more room, or choose a smaller model."),
    "HashMismatch": ("fetch", "The file model.safetensors is not what the hub says it is.", "A proxy or mirror may damage files; check it, or set spec.model.endpoint to another."),
    "HubUnreachable": ("fetch", "https://huggingface.co does not answer.", "Check the network, proxy and policy between the pod and the hub, or set spec.model.endpoint."),
    "InvalidSettings": ("server", "maxInputTokens is 9999 and the model takes 512.", "Set maxInputTokens to at most 512, or leave it out."),
    "ModelNotFound": ("server", "The folder /model has no config.json.", "Check the source of the model, and its path inside the claim or image."),
    "ModelInvalid": ("server", "The file model.safetensors is cut off.", "Check the model's files, or choose another revision or model."),
    "TaskMismatch": ("server", "BertForMaskedLM cannot do text-classification.", "Set the task fill-mask, or choose another model."),
    "RemoteCodeNeeded": ("server", "The model a/b wants code from its repository.", "Choose a model whose architecture is part of Transformers."),
    "OutOfMemory": ("server", "The model needs about 1900 MiB of memory in float32 and 512 MiB are free.", "Raise the memory limit above 2375 MiB, or choose a smaller model."),
    "AcceleratorAbsent": ("server", "A CUDA device was asked for and none is usable here.", "Check that the pod requests a GPU, that the node's driver works, and that the image has CUDA."),
    "PrecisionUnsupported": ("server", "A CPU cannot compute in float16.", "Set precision to float32, or auto."),
    "LoadFailed": ("server", "Loading the model failed with KeyError.", "See the log for the traceback."),
    "VerifyFailed": ("server", 'The answer to "The capital of France is [MASK]." was london and paris was expected.', "Check the model and its revision, or correct spec.verify."),
}  # fmt: skip
"""What each code of a container that gave up says, with the container that gives it."""

CODES = tuple(
    case(
        f"code {code}",
        f"{WHY}::test_every_code_of_a_container_that_gave_up",
        gave_up(name, code, fact, step),
        code,
        f"{fact.rstrip('.')} ({code}). {step}",
    )
    for code, (name, fact, step) in GAVE_UP.items()
)

SITUATIONS = (*WELL, *SPEC_AND_RIGHTS, *NODES, *CONTAINERS, *CODES)

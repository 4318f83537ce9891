"""Why no node takes a replica: a real scheduler, nodes that nobody runs, an operator with and without the grant."""

import secrets
from pathlib import Path

import pytest

from llmi_testing.apiserver import ApiServer
from llmi_testing.bare_nodes import Nodes
from llmi_testing.control_plane import installed_control_plane
from llmi_testing.eventually import eventually, throughout
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.pretend_replica import PretendReplica
from llmi_testing.space import Space, container_status, ready_status

pytestmark = pytest.mark.apiserver
ROOT = Path(__file__).parents[2]
GPU = "nvidia.com/gpu"


@pytest.fixture(scope="module")
def server():
    with installed_control_plane(audit=False, scheduler=True) as server:
        server.kubectl("apply", "-k", str(ROOT / "deploy" / "cluster-reader"))
        yield server


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """The file of prices, which is not there until a test writes it."""
    return tmp_path_factory.mktemp("prices") / "prices.yaml"


@pytest.fixture(scope="module")
def reader(server, prices, tmp_path_factory):
    """The operator, with the optional right to read nodes and everybody's pods."""
    account = server.kubeconfig_for_service_account("llminference-operator", "llminference-system")
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(account, log, prices_file=str(prices)) as process:
        eventually(process.is_leader)
        yield process


@pytest.fixture
def nodes(server):
    """Makes nodes, which live as long as the test."""
    with Nodes(server) as nodes:
        yield nodes


@pytest.fixture
def space(server, request):
    name = request.node.name[:50].strip("_").replace("_", "-")
    server.kubectl("create", "namespace", name)
    eventually(lambda: server.kubectl("-n", name, "get", "sa", "default", "--ignore-not-found"))
    yield Space(server, name)
    server.kubectl("delete", "namespace", name, "--wait=false")
    server.kubectl("-n", name, "delete", "pods", "--all", "--force", "--grace-period=0")


def wait_for_count(space, count):
    """Wait until the sentence is about so many nodes; what was read for the test before is used for 5 s."""
    space.wait_for_reason("bert", "Unschedulable")

    def look():
        why = space.status("bert")["why"]
        assert f"/{count} nodes" in why or f"none of {count} " in why, why
        return why

    return eventually(look, seconds=60)


def occupy(space, name, count):
    """Somebody else's pod with GPUs."""
    amounts = {"limits": {GPU: str(count)}}
    spec = {"containers": [{"name": "a", "image": "a", "resources": amounts}], "terminationGracePeriodSeconds": 0}
    space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    eventually(lambda: space.need("pod", name)["spec"].get("nodeName"))


def test_a_replica_costs_its_share_of_its_node_and_a_list_that_breaks_makes_that_unknown(space, nodes, reader, prices):
    def look(**expected):
        # Nothing tells the operator of the file: it looks with its next pass.
        space.kubectl("annotate", "llmi", "bert", f"look={secrets.token_hex(4)}", "--overwrite")
        found = space.status("bert").get("cost") or {}
        assert expected.items() <= found.items(), found
        return True

    nodes.make("paid", labels={"node.kubernetes.io/instance-type": "m5.xlarge"})
    prices.write_text("currency: USD\nsource: made up\nnodes: {m5.xlarge: {perHour: 0.192}}\n")
    space.apply(make_body(autoscaling={"maxReplicas": 4}))
    eventually(lambda: look(perHour="0.0720"), seconds=90)
    assert space.status("bert")["cost"] == {
        "perHour": "0.0720", "perReplicaHour": "0.0720", "perMonthAtMin": "52.56", "perMonthAtMax": "210.24",
        "currency": "USD", "source": "made up", "because": "1 x 38% of m5.xlarge at 0.192 (memory).",
    }  # fmt: skip
    place = f'{{currency="USD",name="bert",namespace="{space.namespace}"}}'
    eventually(lambda: f"llmi_operator_cost_per_hour{place} 0.072" in reader.ask("/metrics"))
    version = space.need("llmi", "bert")["metadata"]["resourceVersion"]
    throughout(lambda: space.need("llmi", "bert")["metadata"]["resourceVersion"] == version, seconds=2)
    prices.write_text("currency: USD\nsource: made up\nnodes: {m5.xlarge: {perHour: -1}}\n")
    because = "The list of prices is wrong at nodes.m5.xlarge.perHour: Input should be greater than 0."
    eventually(lambda: look(perHour="unknown", because=because), seconds=40)
    eventually(lambda: "llmi_operator_price_list_valid 0.0" in reader.ask("/metrics"))
    prices.unlink()
    eventually(lambda: look() and "cost" not in space.status("bert"), seconds=40)


def test_a_budget_holds_the_replicas_and_says_the_arithmetic(space, nodes, reader, prices):
    def look(why):
        space.make_pods_ready()
        space.kubectl("annotate", "llmi", "bert", f"look={secrets.token_hex(4)}", "--overwrite")
        found = space.status("bert").get("why")
        assert found == why, found
        return True

    with pytest.raises(AssertionError, match="budget goes with replicas or autoscaling"):
        space.apply(make_body(budget={"perHour": "1"}))
    nodes.make("dear", labels={"node.kubernetes.io/instance-type": "dear"})
    space.apply(make_body(replicas=2, budget={"perHour": "0.5"}))
    space.wait_for_pods(2)
    why = "spec.budget holds nothing back, because the operator has no list of prices: give it one, see docs/cost.md."
    eventually(lambda: look(why), seconds=60)
    assert space.condition("bert")["status"] == "True"
    # 3 of its 8 GiB are 0.3 an hour.
    prices.write_text("currency: USD\nsource: made up\nnodes: {dear: {perHour: 0.8}}\n")
    words = (
        "1 of 2 replicas run: each costs up to 0.3000 USD an hour, and the 0.5 of spec.budget.perHour pay for 1. Raise "
        "spec.budget.perHour, or lower what a replica requests."
    )
    eventually(lambda: look(f"At most {words}"), seconds=90)
    space.wait_for_pods(1)
    assert space.need("deployment", "bert")["spec"]["replicas"] == 1
    assert space.need("llmi", "bert")["spec"]["replicas"] == 2
    prices.unlink()
    eventually(lambda: look(why), seconds=60)
    space.wait_for_pods(2)


@pytest.mark.usefixtures("reader")
def test_no_node_has_the_gpu(space, nodes):
    nodes.make("plain")
    space.apply(make_body(accelerator={}))
    assert wait_for_count(space, 1) == (
        "No node has a nvidia.com/gpu: none of 1 offers it. Install its device plugin, add a node that has one, "
        "or correct spec.accelerator.resource."
    )


@pytest.mark.usefixtures("reader")
def test_gpus_that_are_in_use_or_tainted_are_counted(space, nodes):
    nodes.make("busy", more={GPU: "2"})
    nodes.make("spotty", more={GPU: "1"}, taints=[{"key": "spot", "effect": "NoSchedule"}])
    nodes.make("plain")
    occupy(space, "theirs", 2)
    space.apply(make_body(accelerator={}))
    assert wait_for_count(space, 3) == (
        "0/3 nodes have a free nvidia.com/gpu: 1 has all 2 in use, 1 has the taint spot, 1 has none. "
        "Free one, tolerate spot in spec.scheduling.tolerations, or add a node."
    )
    space.delete("pod", "theirs", "--force", "--grace-period=0")
    eventually(lambda: all(pod["spec"].get("nodeName") == "busy" for pod in space.list("pods")), seconds=40)


@pytest.mark.usefixtures("reader")
def test_a_gpu_on_a_cordoned_node_or_behind_a_selector(space, nodes):
    nodes.make("closed", more={GPU: "4"}, labels={"pool": "x"}, unschedulable=True)
    nodes.make("other", more={GPU: "1"})
    space.apply(make_body(accelerator={}, scheduling={"nodeSelector": {"pool": "x"}}))
    assert wait_for_count(space, 2) == (
        "0/2 nodes have a free nvidia.com/gpu: 1 does not have the label pool=x of spec.scheduling.nodeSelector, "
        "1 is cordoned. Correct spec.scheduling.nodeSelector, uncordon closed, or add a node."
    )


@pytest.mark.usefixtures("reader")
def test_a_gpu_of_another_product_is_named(space, nodes):
    nodes.make("old", more={GPU: "1"}, labels={"nvidia.com/gpu.product": "Tesla-T4"})
    nodes.make("unlabelled", more={GPU: "1"})
    nodes.make("plain")
    space.apply(make_body(accelerator={"products": ["NVIDIA-L4"]}))
    assert wait_for_count(space, 3) == (
        "0/3 nodes have a free nvidia.com/gpu of the product NVIDIA-L4: 1 is Tesla-T4, 1 has no label "
        "nvidia.com/gpu.product, 1 has none. Allow Tesla-T4 in spec.accelerator.products, or add a node."
    )
    nodes.make("new", more={GPU: "1"}, labels={"nvidia.com/gpu.product": "NVIDIA-L4"})
    eventually(lambda: all(pod["spec"].get("nodeName") == "new" for pod in space.list("pods")), seconds=40)


@pytest.mark.usefixtures("reader")
def test_a_gpu_that_fell_off_is_told_from_a_node_that_has_none(space, nodes):
    nodes.make("broken", more={GPU: "1"})
    nodes.make("plain")
    nodes.let_fall_off("broken", GPU)
    space.apply(make_body(accelerator={}))
    why = (
        "0/2 nodes have a free nvidia.com/gpu: that of broken is not healthy, 1 has none. "
        "See to the driver and the device plugin on broken, or add a node."
    )
    # What was read of the nodes a moment ago may still have the device.
    eventually(lambda: space.status("bert").get("why") == why, seconds=90)


@pytest.mark.usefixtures("reader")
def test_a_spot_node_is_taken_first_and_an_ordinary_one_when_it_is_full(space, nodes):
    spot_taint = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}
    gpu_taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    product = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    nodes.make("ordinary", more={GPU: "4"}, labels=product, taints=[gpu_taint])
    spot = {**product, "cloud.google.com/gke-spot": "true"}
    nodes.make("spot", more={GPU: "1"}, labels=spot, taints=[gpu_taint, spot_taint])
    space.apply(make_body(replicas=2, accelerator={"platform": "gke", "products": ["nvidia-l4"], "spot": True}))

    def places():
        return sorted(pod["spec"].get("nodeName", "") for pod in space.list("pods"))

    eventually(lambda: places() == ["ordinary", "spot"], seconds=40)


@pytest.mark.usefixtures("reader")
def test_replicas_that_must_keep_apart(space, nodes):
    nodes.make("roomy")
    nodes.make("full", more={"cpu": "500m"})
    space.apply(make_body(replicas=2, scheduling={"spread": "Required"}))
    seen = "1 has too little free CPU, 1 may not have one more while another has fewer"
    eventually(lambda: seen in space.status("bert")["why"], seconds=60)
    space.apply(make_body(replicas=2, scheduling={"spread": "Preferred"}))
    eventually(lambda: "roomy" in [pod["spec"].get("nodeName") for pod in space.list("pods")], seconds=60)


DRIVER = "gpu.example.com"


def make_devices(space, node, **models):
    """A class of devices, and those of a node, as its DRA driver would publish them."""
    api = {"apiVersion": "resource.k8s.io/v1"}
    of_driver = {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]}
    space.apply({**api, "kind": "DeviceClass", "metadata": {"name": DRIVER}, "spec": of_driver})
    devices = [{"name": name, "attributes": {"model": {"string": model}}} for name, model in models.items()]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": devices}
    space.apply({**api, "kind": "ResourceSlice", "metadata": {"name": node}, "spec": spec})


def claimed(space):
    """Which device each claim got."""
    allocations = [claim.get("status", {}).get("allocation") for claim in space.list("resourceclaims")]
    return sorted(result["device"] for one in filter(None, allocations) for result in one["devices"]["results"])


@pytest.mark.usefixtures("reader")
def test_devices_by_claim(server, space, nodes):
    nodes.make("worker")
    big = [f"device.attributes['{DRIVER}'].model == 'big'"]
    space.apply(make_body(accelerator={"dra": {"deviceClassName": DRIVER, "selectors": big}}))
    eventually(lambda: f"There is no DeviceClass {DRIVER}" in space.status("bert")["why"], seconds=60)
    try:
        make_devices(space, "worker", gpu0="big", gpu1="small")
        eventually(lambda: claimed(space) == ["gpu0"], seconds=60)
        space.patch("llmi", "bert", {"spec": {"replicas": 2}})
        none = "1 has no free device that spec.accelerator.dra asks for"
        eventually(lambda: none in space.status("bert")["why"], seconds=60)
        space.patch("llmi", "bert", {"spec": {"replicas": 1, "accelerator": {"dra": {"selectors": None}}}})
        eventually(lambda: claimed(space) == ["gpu0", "gpu1"], seconds=60)
        # Until the old replica is gone, its like might have to be made again.
        assert len(space.list("resourceclaimtemplates")) == 2
        space.make_pods_ready()
        eventually(lambda: len(space.list("resourceclaimtemplates")) == 1, seconds=60)
        space.patch("llmi", "bert", {"spec": {"accelerator": None}})
        eventually(lambda: len(space.list("pods")) == 3, seconds=60)
        space.make_pods_ready()
        eventually(lambda: not space.list("resourceclaimtemplates"), seconds=60)
    finally:
        server.kubectl("delete", "--ignore-not-found", "resourceslice/worker", f"deviceclass/{DRIVER}")


def test_devices_by_claim_where_the_api_is_not_served(tmp_path):
    with ApiServer(without=["resource.k8s.io/v1"]) as server:
        server.kubectl("apply", "-k", str(ROOT / "deploy"))
        server.wait_until_types_are_served()
        account = server.kubeconfig_for_service_account("llminference-operator", "llminference-system")
        space = Space(server, "default")
        with OperatorProcess(account, tmp_path / "log"):
            space.apply(make_body(accelerator={"dra": {"deviceClassName": DRIVER}}))
            why = space.wait_for_reason("bert", "ApiMissing", seconds=60)
            assert why.startswith("This cluster has no ResourceClaimTemplate (resource.k8s.io/v1)")
            assert space.get("deployment", "bert") is None
            space.patch("llmi", "bert", {"spec": {"accelerator": {"dra": None}}})
            eventually(lambda: space.get("deployment", "bert"))


@pytest.mark.usefixtures("reader")
def test_too_little_cpu_says_how_much_there_is(space, nodes):
    nodes.make("small")
    space.apply(make_body(resources={"requests": {"cpu": "64"}}))
    words = "1 has too little free CPU (4 of 4, and a replica asks for 64)"
    eventually(lambda: words in space.status("bert")["why"], words, seconds=60)


@pytest.mark.usefixtures("reader")
def test_too_little_memory_says_how_much_there_is(space, nodes):
    nodes.make("small")
    space.apply(make_body(resources={"requests": {"memory": "9Gi"}}))
    words = "1 has too little free memory (8Gi of 8Gi, and a replica asks for 9Gi)"
    eventually(lambda: words in space.status("bert")["why"], words, seconds=60)


def test_without_the_right_to_read_nodes_the_sentence_is_coarser_and_names_the_grant(
    server, space, nodes, reader, tmp_path
):
    nodes.make("plain")
    reader.stop()
    try:
        server.kubectl("delete", "clusterrolebinding", "llminference-cluster-reader")
        account = server.kubeconfig_for_service_account("llminference-operator", "llminference-system")
        with OperatorProcess(account, tmp_path / "log"):
            space.apply(make_body(accelerator={}))
            why = space.wait_for_reason("bert", "Unschedulable")
            assert why.startswith("0/1 nodes can take a replica: 1 has no free nvidia.com/gpu; a replica asks for")
            assert why.endswith(
                "Grant the operator the role in deploy/cluster-reader, and it counts the nodes by cause."
            )
            space.apply(make_body(accelerator={"products": ["NVIDIA-L4"]}))
            product = "0/1 nodes can take a replica: 1 does not have the product NVIDIA-L4."
            eventually(lambda: space.status("bert")["why"].startswith(product), seconds=40)
    finally:
        server.kubectl("apply", "-k", str(ROOT / "deploy" / "cluster-reader"))
        reader.start()
        eventually(lambda: reader.is_ready() and reader.is_leader(), seconds=60)


@pytest.mark.usefixtures("reader")
def test_a_claim_that_does_not_exist(space, nodes):
    nodes.make("plain")
    space.apply(make_body(model={"claim": {"name": "models"}}))
    why = space.wait_for_reason("bert", "VolumeUnavailable")
    assert why == ("The claim models does not exist: create it in this namespace, or correct spec.model.claim.name.")


@pytest.mark.usefixtures("reader")
def test_a_claim_without_a_volume(space, nodes):
    nodes.make("plain")
    space.apply(make_claim(volume=None))
    space.apply(make_body(model={"claim": {"name": "models"}}))
    why = space.wait_for_reason("bert", "VolumeUnavailable")
    assert why.startswith("The claim models has no volume that a node can use")


@pytest.mark.usefixtures("reader")
def test_a_claim_in_another_zone(server, space, nodes):
    nodes.make("here", labels={"zone": "a"})
    volume = f"far-{space.namespace}"
    place = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "local": {"path": "/nowhere"},
        # Reserved: the claim of another test, still waiting for a volume, would take it.
        "claimRef": {"namespace": space.namespace, "name": "models"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [place]}},
    }
    space.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec})
    space.apply(make_claim(volume=volume))
    # What the controller misses at once it looks at again every 15 s.
    eventually(lambda: space.need("pvc", "models")["status"]["phase"] == "Bound", seconds=60)
    space.apply(make_body(model={"claim": {"name": "models"}}))
    why = space.wait_for_reason("bert", "VolumeUnavailable", seconds=60)
    assert why.startswith("The claim models lies in a zone or on a node where no replica can run")
    server.kubectl("delete", "pv", volume, "--wait=false")


def make_claim(*, volume):
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "resources": {"requests": {"storage": "1Gi"}},
        **({"volumeName": volume} if volume else {}),
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": spec}


@pytest.fixture
def replica():
    replica = PretendReplica("127.0.0.90")
    yield replica
    replica.close()


@pytest.mark.usefixtures("reader")
def test_a_gpu_that_cannot_hold_the_weights_is_told_and_a_version_that_only_such_could_run_is_not_begun(
    space, nodes, replica
):
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
    nodes.make("small", more={GPU: "1"}, labels=labels)
    space.apply(make_body(accelerator={"products": ["NVIDIA-L4"]}))
    pod = eventually(
        lambda: next((item for item in space.list("pods") if item["spec"].get("nodeName")), None), seconds=60
    )
    sizes = {"float32": 80 * 2**30, "bfloat16": 40 * 2**30}
    told = {"predicted_by_precision": sizes, "weights_by_precision": sizes}
    replica.answer = (503, {"stage": "fetching", "phase": "download", **told})
    began = {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}}
    where = {"podIP": replica.address, "podIPs": [{"ip": replica.address}]}
    space.set_pod_status(
        pod["metadata"]["name"], {**where, "initContainerStatuses": [container_status("fetch", began)]}
    )
    why = space.wait_for_reason("bert", "OutOfMemory", seconds=60)
    # By its node's label, or by its name while the nodes are those that were read for the test before.
    gets = "1 x NVIDIA-L4 with "
    assert why.startswith(f"The model's weights alone take 40960 MiB in bfloat16, and a replica gets {gets}")
    memory = space.status("bert")["memory"]
    assert memory["device"].startswith(gets)
    assert memory["weights"]["bfloat16"] == 40 * 2**30
    # The first replica had to run for its size to be known; the next one that cannot fit is not even made.
    space.patch("llmi", "bert", {"spec": {"accelerator": {"products": ["Tesla-T4"]}}})
    eventually(lambda: "so no replica of this version is made" in space.status("bert")["why"], seconds=60)
    assert len(space.list("pods")) == 1
    assert space.need("deployment", "bert")["metadata"]["generation"] == 1
    space.patch("llmi", "bert", {"spec": {"accelerator": {"products": ["Tesla-T4", "NVIDIA-H100-80GB-HBM3"]}}})
    eventually(lambda: space.need("deployment", "bert")["metadata"]["generation"] == 2, seconds=60)


@pytest.mark.usefixtures("reader")
def test_a_node_that_is_lost(space, nodes):
    nodes.make("worker")
    space.apply(make_body())
    pod = eventually(lambda: next((item for item in space.list("pods") if item["spec"].get("nodeName")), None))
    space.set_pod_status(pod["metadata"]["name"], ready_status(pod))
    space.wait_for_reason("bert", "Serving")
    # The node controller's grace is 50 s.
    nodes.silence("worker")
    why = space.wait_for_reason("bert", "NodeLost", seconds=180)
    assert why.startswith(f"The node worker of the replica {pod['metadata']['name']} does not report")
    assert space.condition("bert")["status"] == "False"
    assert "url" not in space.status("bert")


@pytest.mark.usefixtures("reader")
def test_a_node_port_has_the_nodes_addresses(space, nodes):
    nodes.make("worker")
    space.apply(make_body(service={"type": "NodePort"}))
    pod = eventually(lambda: next((item for item in space.list("pods") if item["spec"].get("nodeName")), None))
    space.set_pod_status(pod["metadata"]["name"], ready_status(pod))
    space.wait_for_reason("bert", "Serving")
    port = space.need("service", "bert")["spec"]["ports"][0]["nodePort"]
    # Nodes that were read for the test before are used for 5 s.
    eventually(lambda: space.status("bert").get("url") == f"http://192.0.2.7:{port}", seconds=60)
    status = space.status("bert")
    assert status["nodePort"] == port
    assert status["url"] == f"http://192.0.2.7:{port}"
    assert status["addresses"] == [status["url"], f"http://bert.{space.namespace}.svc"]

"""The walls around a model: whom its NetworkPolicy lets in, and where it lets it go."""

from llmi_testing.live_cluster import eventually

CONNECT = """
import socket, sys
address = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), socket.AF_INET, socket.SOCK_STREAM)[0][4]
print("resolved")
socket.create_connection(address, timeout=3).close()
print("connected")
"""


def try_to_connect(cluster, pod, host, port):
    """Say what a pod sees of an address: connected, or what went wrong, and that its name was found."""
    code = f"try:\n exec({CONNECT!r})\nexcept OSError as error:\n print(error)"
    return cluster("exec", pod, "--", "/opt/llmi/bin/python", "-c", code, host, str(port)).split("\n")


def test_only_those_who_are_named_reach_the_model(cluster):
    cluster.apply("walled", access={"allowFrom": [{"podLabels": {"app": "friend"}}]})
    cluster.wait_ready("walled")
    host, client = f"walled.{cluster.namespace}.svc", cluster.client()
    # Rules for a new pod are written some moments after it began.
    eventually(
        lambda: try_to_connect(cluster, client, host, 80)[:2] == ["resolved", "timed out"], "a stranger stays out"
    )
    cluster("label", "pod", client, "app=friend", "--overwrite")
    eventually(lambda: "connected" in try_to_connect(cluster, client, host, 80), "a friend gets in")


def test_a_model_that_needs_no_hub_finds_names_and_reaches_nothing(cluster):
    cluster.apply("inside")
    cluster.wait_ready("inside")
    pod = cluster.objects("pods", "inside")[0]
    api = ("kubernetes.default.svc.cluster.local", 443)
    seen = ["resolved", "timed out"]
    eventually(lambda: try_to_connect(cluster, pod["metadata"]["name"], *api)[:2] == seen, "the API is out of reach")
    assert pod["spec"]["serviceAccountName"] == "inside"
    mounts = [mount["mountPath"] for container in pod["spec"]["containers"] for mount in container["volumeMounts"]]
    assert not [path for path in mounts if "kubernetes.io/serviceaccount" in path]

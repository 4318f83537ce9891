"""Where the values of Secrets are while a model runs, and where they are not."""

import secrets

import pytest

import deploy

KEY = f"key-{secrets.token_hex(8)}"
TOKEN = "hub-secret"
QUESTION = {"inputs": "The capital of France is [MASK]."}


@pytest.fixture(scope="module")
def guarded(shared, hub):
    """A model that was downloaded with a token and answers to a key."""
    shared("create", "secret", "generic", "hub", f"--from-literal=token={TOKEN}")
    shared("create", "secret", "generic", "keys", f"--from-literal=api-key={KEY}")
    source = {"id": "llmi/private", "endpoint": hub, "tokenSecret": {"name": "hub"}}
    shared.apply("guarded", model=source, access={"apiKeySecret": {"name": "keys"}})
    shared.wait_ready("guarded")
    return shared


def run_in_server(cluster, program):
    pod = cluster.objects("pods", "guarded")[0]["metadata"]["name"]
    return cluster("exec", pod, "-c", "server", "--", "/opt/llmi/bin/python", "-c", program)


def test_neither_key_nor_token_shows_in_logs_objects_events_metrics_or_answers(guarded):
    url = guarded.status("guarded")["url"]
    refused = guarded.ask(url, QUESTION, Authorization=f"Bearer {KEY[:-1]}")
    assert refused[0] == 401
    answered = guarded.ask(url, QUESTION, Authorization=f"Bearer {KEY}")
    assert answered[0] == 200
    kinds = guarded.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    seen = {
        "objects": guarded("get", ",".join(kind for kind in kinds if kind != "secrets"), "-o", "json"),
        "logs": guarded("logs", "-l", "llminference.dev/llminference=guarded", "--all-containers", "--tail=-1"),
        "operator": guarded.kubectl("-n", deploy.NAMESPACE, "logs", deploy.OPERATOR, "--all-pods", "--tail=-1"),
        "metrics": str(guarded.ask(f"{url}/metrics", Authorization=f"Bearer {KEY}")),
        "answers": f"{refused}{answered}",
    }
    for where, words in seen.items():
        assert words, where
        assert KEY not in words, where
        assert TOKEN not in words, where
    assert '"Event"' in seen["objects"]


def test_the_server_does_not_have_the_hubs_token(guarded):
    look = "import pathlib; print(*(pathlib.Path('/proc', name).read_text() for name in ('1/environ', '1/cmdline')))"
    seen = run_in_server(guarded, look)
    assert "LLMI_" in seen
    assert TOKEN not in seen
    assert KEY not in seen
    pod = guarded.objects("pods", "guarded")[0]["spec"]
    (server,) = pod["containers"]
    volumes = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert {volumes[mount["name"]] for mount in server["volumeMounts"] if mount["name"] in volumes} == {"keys"}


def test_the_server_has_no_token_for_the_api_server(guarded):
    look = "import pathlib; print(pathlib.Path('/var/run/secrets/kubernetes.io').exists())"
    assert run_in_server(guarded, look).strip() == "False"

"""Replicas are asked through kubectl's forwarded ports; kubectl is played, the server behind it is real."""

from llmi_kubectl.usage import MOST_ASKED, read_usage
from llmi_testing.server import MODEL_NAME, running_server


def pod(name, *, ready=True, hour=12, **metadata):
    stamp = f"2026-11-25T{hour}:00:00Z"
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": name, "creationTimestamp": stamp, **metadata}, "status": {"conditions": conditions}}


async def test_what_a_real_server_has_used_is_read(kubectl):
    with running_server() as server:
        kubectl(f'echo "Forwarding from 127.0.0.1:{server.port} -> 8080"\nexec sleep 60')
        server.http.post("/v1/embeddings", json={"model": MODEL_NAME, "input": "x"}).raise_for_status()
        found, notes = await read_usage([pod("a")], ("--namespace=models",))
    assert notes == ()
    (usage,) = found
    assert 0 < usage.busy_seconds < usage.serving_seconds < 120
    assert usage.peak_memory_bytes > 10_000_000


async def test_the_oldest_that_serve_are_asked(kubectl):
    with running_server() as server:
        asked = kubectl(f'echo "Forwarding from 127.0.0.1:{server.port} -> 8080"\nexec sleep 60')
        names = [f"p{number}" for number in range(MOST_ASKED + 1)]
        pods = [pod(name, hour=20 - number) for number, name in enumerate(names)]
        leaving = pod("leaving", hour=10, deletionTimestamp="2026-11-25T13:00:00Z")
        found, _ = await read_usage([*pods, pod("starting", ready=False, hour=11), leaving], ())
    assert len(found) == MOST_ASKED
    assert {line.split()[1] for line in asked.read_text().splitlines()} == {f"pod/{name}" for name in names[1:]}


async def test_without_the_right_to_forward_a_port_that_is_said_once(kubectl):
    kubectl('echo "error: pods is forbidden" >&2\nexit 1')
    found, (note,) = await read_usage([pod("a"), pod("b")], ())
    assert found == []
    assert note.startswith("What replicas use could not be asked (kubectl port-forward did not reach a replica")
    assert "pods is forbidden" in note


async def test_a_server_that_says_nothing_of_it_and_no_server_at_all_are_no_error(kubectl):
    with running_server(load=False) as server:
        kubectl(f'echo "Forwarding from 127.0.0.1:{server.port} -> 8080"\nexec sleep 60')
        assert await read_usage([pod("a")], ()) == ([], ())
    assert await read_usage([], ()) == ([], ())

import pytest

from llmi_kubectl.errors import Exit, PluginError
from llmi_kubectl.forwarding import forward


async def test_the_port_that_kubectl_chose_is_used_and_kubectl_is_ended(kubectl):
    arguments = kubectl('echo "Forwarding from 127.0.0.1:4711 -> 8080"\nexec sleep 60')
    async with forward("service/bert", 80, ("--namespace=models",)) as base:
        assert base == "http://127.0.0.1:4711"
    assert arguments.read_text().split() == [
        "port-forward", "service/bert", ":80", "--address=127.0.0.1", "--namespace=models",
    ]  # fmt: skip


async def test_what_kubectl_says_instead_is_passed_on(kubectl):
    kubectl('echo "error: unable to forward port" >&2\nexit 1')
    with pytest.raises(PluginError, match=r"did not reach a replica .*unable to forward port") as caught:
        async with forward("service/bert", 80, ()):
            pass
    assert caught.value.exit_status is Exit.NO_ANSWER


async def test_a_missing_kubectl_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match="kubectl is not on PATH"):
        async with forward("service/bert", 80, ()):
            pass

"""Tokens end, and new ones come: in a pod the kubelet writes them into the same file."""

import json
import time

import pytest

from llmi_testing.end_state import is_settled
from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import ALWAYS, Answer, Cut, Fault, Match
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
RECOVER_SECONDS = 60.0


def token(kubeconfig):
    return json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]


@pytest.fixture
def kubeconfig(proxy, account, tmp_path):
    return proxy.kubeconfig(account, tmp_path / "kubeconfig")


def test_an_expired_token_is_replaced_without_a_restart(
    server, api, proxy, kubeconfig, namespace, tmp_path, audit, record_property
):
    settings = {"namespaces": namespace, "lease_name": namespace}
    with OperatorProcess(kubeconfig, tmp_path / "log", **settings) as process:
        api.create("llminferences", namespace, make_body())
        eventually(lambda: is_settled(api, namespace, "bert"))
        old = Match(token=token(kubeconfig))
        proxy.use(Fault(old, Answer(401), times=ALWAYS), Fault(Match(), Cut()))
        with audit.excused():
            eventually(lambda: not process.is_leader())
            api.patch("llminferences", namespace, "bert", {"spec": {"replicas": 3}})
            # Long enough that whoever gives up has given up.
            eventually(lambda: len(proxy.calls(Match(verbs=("list", "watch"), token=old.token))) > 20, seconds=90)
            fresh = server.kubectl("-n", "llminference-system", "create", "token", "llminference-operator").strip()
            config = json.loads(kubeconfig.read_text())
            config["users"][0]["user"]["token"] = fresh
            kubeconfig.write_text(json.dumps(config))
            began = time.monotonic()
            eventually(
                lambda: api.need("deployments", namespace, "bert")["spec"]["replicas"] == 3, seconds=RECOVER_SECONDS
            )
            api.patch("llminferences", namespace, "bert", {"spec": {"replicas": 4}})
            eventually(
                lambda: api.need("deployments", namespace, "bert")["spec"]["replicas"] == 4, seconds=RECOVER_SECONDS
            )
        record_property("seconds", round(time.monotonic() - began, 1))
        print(f"new token: {time.monotonic() - began:.1f} s")
        assert process.returncode is None
        assert not [line for line in process.lines() if line.get("log.level") == "error" and "Traceback" in str(line)]


def test_it_can_be_stopped_while_its_token_is_refused(proxy, kubeconfig, namespace, tmp_path):
    settings = {"namespaces": namespace, "lease_name": namespace}
    with OperatorProcess(kubeconfig, tmp_path / "log", **settings) as process:
        proxy.use(Fault(Match(), Answer(401), times=ALWAYS), Fault(Match(), Cut()))
        eventually(lambda: not process.is_leader())
        assert process.stop() == 0

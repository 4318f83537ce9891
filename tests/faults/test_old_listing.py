"""A listing that is older than what has happened since, after a restart.

By itself in its module: an operator for the whole cluster, as others have one, would follow what is done here, too.
"""

import time

import pytest

from llmi_testing.end_state import is_settled
from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import ALWAYS, Fault, Match, Silence, StaleList
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
WATCHES = Match(verbs=("watch",))
SECONDS = 90.0


def replicas(api, namespace):
    return api.need("deployments", namespace, "bert")["spec"]["replicas"]


def test_an_old_listing_after_a_restart_makes_no_harm(api, proxy, account, namespace, tmp_path, audit):
    kubeconfig = proxy.kubeconfig(account)
    settings = {"namespaces": namespace, "lease_name": namespace, "identity": namespace}
    with OperatorProcess(kubeconfig, tmp_path / "log", **settings) as process:
        for name in ("bert", "goes"):
            api.create("llminferences", namespace, make_body(name, replicas=1))
        eventually(lambda: is_settled(api, namespace, "bert") and is_settled(api, namespace, "goes"))
        process.stop()
        # Everything is listed as it is now; then it changes, and the old listing is what the next process gets.
        process.start()
        eventually(process.is_ready)
        time.sleep(1)  # kopf's own listings come after ours
        process.kill()
        proxy.use(Fault(Match(verbs=("list",)), StaleList(), times=ALWAYS))
        with audit.excused():
            process_two(api, namespace)
            start = len(proxy.log)
            proxy.use(Fault(WATCHES, Silence(new=True)))
            process.start()
            eventually(process.is_ready, seconds=40)
            eventually(process.is_leader)
            eventually(lambda: proxy.calls(Match(verbs=("watch",), namespace=namespace))[-1].at > proxy.log[start].at)
            time.sleep(5)  # what an old listing could do wrong, it has done by now
            writes = [one for one in proxy.log[start:] if one.call.concerns_resources and 0 < one.status < 400]
            assert [(one.call.verb, one.call.kind) for one in writes if one.call.subresource != "status"] == []
            proxy.stop()
            eventually(lambda: replicas(api, namespace) == 3, seconds=SECONDS)
            eventually(lambda: is_settled(api, namespace, "bert"), seconds=SECONDS)
            eventually(lambda: api.get("deployments", namespace, "goes") is None, seconds=SECONDS)
            assert api.get("services", namespace, "goes") is None


def process_two(api, namespace):
    """What happens while no operator runs, as another replica would have it done."""
    api.patch("llminferences", namespace, "bert", {"spec": {"replicas": 3}})
    api.patch("deployments", namespace, "bert", {"spec": {"replicas": 3}})
    api.delete("llminferences", namespace, "goes")
    eventually(lambda: api.get("deployments", namespace, "goes") is None, seconds=40)

"""What a model costs on a real cluster, by a ConfigMap of prices, and a budget that holds its replicas."""

import json
from decimal import Decimal

from llmi_testing.live_cluster import eventually
from llmi_testing.plugin import Plugin


def test_status_tells_the_cost_and_a_budget_holds_the_replicas_at_what_it_pays_for(priced, cluster, tmp_path):
    cluster.apply("tiny", replicas=1)
    cluster.wait_ready("tiny")
    cost = eventually(lambda: (found := cluster.status("tiny").get("cost")) and found["perHour"] != "unknown" and found)
    assert cost["because"].startswith("1 x ")
    assert "of kind-node at 2" in cost["because"]
    each = Decimal(cost["perReplicaHour"])
    assert 0 < each <= 2

    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    plugin = Plugin(kubeconfig, cluster.namespace, cluster.kubectl.program.parent)
    assert plugin.read("status", "tiny")["cost"]["perHour"] == cost["perHour"]
    body = {key: value for key, value in cluster.get("llmi", "tiny").items() if key in {"apiVersion", "kind", "spec"}}
    # Nodes of different sizes are of one type here: the budget is for two on the smallest.
    change = plugin.read("plan", "-f", "-", stdin=json.dumps({**body, "metadata": {"name": "other"}}))["changes"][0]
    limit = str(Decimal(change["cost"]["highest"]) * Decimal("2.5"))

    cluster.patch("tiny", replicas=3, budget={"perHour": limit})
    assert "At most 2 of 3 replicas run" in cluster.wait_why("tiny", "spec.budget.perHour pay for 2")
    assert cluster.get("deployment", "tiny")["spec"]["replicas"] == 2
    assert cluster.condition("tiny", "Ready")["status"] == "True"

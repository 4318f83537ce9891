import copy

from llmi_operator.plan import Live, make_plan
from llmi_operator.plan.hand_edit import SHOWN_PATHS, find_hand_edit
from llmi_testing.inference import DEFAULTS, make_resource

OWN = frozenset({"llminference-operator"})


def child(kind="Deployment", **spec):
    plan = make_plan(make_resource(**spec), DEFAULTS, Live())
    return next(child for child in plan.children if child["kind"] == kind)


def fields(manager, inner):
    return {"manager": manager, "fieldsV1": {"f:spec": inner}}


def edited(change, *managed, kind="Deployment"):
    """Find what was edited in a live object."""
    live = copy.deepcopy(child(kind))
    change(live)
    live["metadata"]["managedFields"] = list(managed)
    return find_hand_edit(live, child(kind), OWN)


def test_who_changed_a_number_is_named():
    edit = edited(
        lambda live: live["spec"].update(replicas=5),
        fields("llminference-operator", {"f:replicas": {}}),
        fields("kubectl-scale", {"f:replicas": {}}),
        fields("kube-controller-manager", {"f:paused": {}}),
    )
    assert edit.paths == ("spec.replicas",)
    assert edit.managers == ("kubectl-scale",)
    assert edit.sentence.startswith("kubectl-scale changed spec.replicas of Deployment bert, and it was set back: ")


def test_an_item_of_a_list_is_named_by_its_name():
    inner = {
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"server"}': {"f:image": {}},
                    'k:{"name":"sidecar"}': {"f:image": {}},
                }
            }
        }
    }
    edit = edited(
        lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image="theirs"), fields("argocd", inner)
    )
    assert edit.paths == ("spec.template.spec.containers[server].image",)
    assert edit.managers == ("argocd",)


def test_whoever_holds_the_whole_of_a_map_holds_its_entries():
    edit = edited(
        lambda live: live["spec"]["selector"].update(a="b"), fields("kubectl-edit", {"f:selector": {}}), kind="Service"
    )
    assert edit.paths == ("spec.selector",)
    assert edit.managers == ("kubectl-edit",)


def test_the_port_of_a_service_is_found_although_its_key_is_no_name():
    inner = {"f:ports": {'k:{"port":81,"protocol":"TCP"}': {"f:port": {}}}}
    edit = edited(lambda live: live["spec"]["ports"][0].update(port=81), fields("kubectl-edit", inner), kind="Service")
    assert edit.managers == ("kubectl-edit",)


def test_a_field_that_was_taken_away_leaves_nobody_to_name():
    edit = edited(lambda live: live["spec"].pop("strategy"))
    assert edit.paths == ("spec.strategy",)
    assert edit.sentence.startswith("somebody changed spec.strategy")


def test_many_fields_are_counted():
    edit = edited(lambda live: live.update(spec={}))
    more = len(edit.paths) - SHOWN_PATHS
    assert f" and {more} more of Deployment bert" in edit.sentence


def test_an_added_rule_of_the_network_policy_is_an_edit():
    edit = edited(lambda live: live["spec"]["egress"].append({}), kind="NetworkPolicy")
    assert edit.paths == ("spec.egress",)
    edit = edited(lambda live: live["spec"]["ingress"][0].update({"from": []}), kind="NetworkPolicy")
    assert edit.paths == ("spec.ingress",)


def test_what_others_add_and_what_is_our_own_new_plan_are_no_edits():
    assert edited(lambda live: live["metadata"]["labels"].update(team="search")) is None
    assert find_hand_edit(child(replicas=1), child(replicas=2), OWN) is None

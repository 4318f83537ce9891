from datetime import UTC, datetime, timedelta

from llmi_api import labels
from llmi_operator.kinds import DEPLOYMENT, INFERENCE, MOUNT_EVENT, POD, SERVICE
from llmi_operator.store import REPLICAS_OWNERS, Key, Store, list_replicas_owners
from llmi_testing.inference import make_stored_body

KEY = Key("models", "bert")


def child(name="bert", version="5", uid="u1", **metadata):
    owner = {"kind": labels.KIND, "name": "bert", "uid": "p", "controller": True}
    return {
        "metadata": {
            "namespace": "models", "name": name, "uid": uid, "resourceVersion": version, "ownerReferences": [owner],
            **metadata,
        }
    }  # fmt: skip


def pod(name="bert-1", uid="pod-1"):
    return child(name, uid=uid, ownerReferences=[], labels={labels.OWNER_LABEL: "bert"})


def test_an_older_copy_never_replaces_a_newer_one():
    store = Store()
    assert store.put(SERVICE, child(version="10")) == KEY
    assert store.put(SERVICE, child(version="9")) is None
    assert store.put(SERVICE, child(version="10")) is None
    assert store.put(SERVICE, child(version="11")) == KEY


def test_an_object_made_anew_replaces_its_namesake():
    store = Store()
    store.put(SERVICE, child(version="10", uid="old"))
    assert store.put(SERVICE, child(version="11", uid="new")) == KEY
    assert store.drop(SERVICE, child(uid="old")) is None
    assert store.get(SERVICE, KEY)["metadata"]["uid"] == "new"


def test_a_pod_belongs_to_what_its_label_says():
    store = Store()
    assert store.put(POD, pod()) == KEY
    assert len(store.children(POD, KEY)) == 1


def test_a_mount_event_concerns_the_owner_of_its_pod_and_others_nobody():
    store = Store()
    event = {"metadata": {"namespace": "models", "name": "e", "uid": "e", "resourceVersion": "1"}}
    assert store.put(MOUNT_EVENT, event | {"involvedObject": {"uid": "pod-1"}}) is None
    store.put(POD, pod())
    assert store.put(MOUNT_EVENT, event | {"involvedObject": {"uid": "pod-1"}}) == KEY


def test_a_listing_drops_what_vanished_and_keeps_what_was_written_meanwhile():
    store = Store()
    store.put(SERVICE, child("vanished", version="5", uid="a"))
    store.put(SERVICE, child("written", version="12", uid="b"))
    assert store.replace(SERVICE, "", [child("listed", version="3", uid="c")], "10") == {KEY}
    assert [body["metadata"]["name"] for body in store.children(SERVICE, KEY)] == ["listed", "written"]


def test_a_listing_of_one_namespace_leaves_the_others_alone():
    store = Store()
    store.put(SERVICE, child())
    store.replace(SERVICE, "elsewhere", [], "99")
    assert store.get(SERVICE, KEY)


def test_a_listing_without_news_concerns_nobody():
    store = Store()
    store.put(SERVICE, child())
    assert store.replace(SERVICE, "", [child()], "10") == set()


def test_objects_know_what_they_are_although_listings_do_not_say():
    store = Store()
    store.put(SERVICE, child())
    assert (store.get(SERVICE, KEY)["apiVersion"], store.get(SERVICE, KEY)["kind"]) == ("v1", "Service")


def test_managed_fields_are_reduced_to_who_owns_the_replicas():
    entry = {"manager": labels.FIELD_MANAGER, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    store = Store()
    store.put(DEPLOYMENT, child(managedFields=[entry]))
    body = store.get(DEPLOYMENT, KEY)
    assert body[REPLICAS_OWNERS] == [labels.FIELD_MANAGER]
    assert "managedFields" not in body["metadata"]


def test_who_set_the_replicas_through_the_scale_subresource_is_told_from_who_applied_them():
    fields = {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
    theirs = [fields | {"manager": "kubectl"}, fields | {"manager": labels.FIELD_MANAGER, "subresource": "scale"}]
    assert list_replicas_owners(child(managedFields=theirs)) == ["kubectl", f"{labels.FIELD_MANAGER}/scale"]


def test_resources_are_listed_and_forgotten():
    store = Store()
    store.put(INFERENCE, make_stored_body())
    assert store.inferences() == [KEY]
    store.drop(INFERENCE, make_stored_body())
    assert store.inferences() == []


def test_a_sentence_is_news_once_a_minute():
    store, noon = Store(), datetime(2026, 1, 1, 12, tzinfo=UTC)
    key = Key("models", "bert")
    heard = [store.is_news(key, "a", noon + timedelta(seconds=seconds)) for seconds in (0, 30, 59, 61, 90)]
    assert heard == [True, False, False, True, False]
    assert store.is_news(key, "b", noon)
    assert store.is_news(Key("models", "other"), "a", noon)

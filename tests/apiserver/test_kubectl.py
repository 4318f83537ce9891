"""kubectl does to an LLMInference what its users know it to do to a Deployment."""

import json
import re
import subprocess

import pytest

from llmi_testing.control_plane import installed_control_plane, make_account
from llmi_testing.eventually import eventually, throughout
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.space import Space, ready_status

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]


@pytest.fixture
def serving(space):
    """A resource that serves."""
    space.apply(make_body())
    space.wait_for_pods(1)
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")


def template(space):
    return space.need("deployment", "bert")["spec"]["template"]


def cells(text):
    """The rows of a table by the names of its columns; an empty cell is an empty string."""
    header, *rows = text.splitlines()
    found = list(re.finditer(r"\S+", header))
    ends = [word.start() for word in found[1:]] + [None]
    return [{word[0]: row[word.start() : end].strip() for word, end in zip(found, ends, strict=True)} for row in rows]


def test_get_shows_an_empty_why_when_all_is_well(space, serving):
    (row,) = cells(space.kubectl("get", "llmi"))
    assert row | {"AGE": ""} == {
        "NAME": "bert",
        "MODEL": "google-bert/bert-large-uncased",
        "ENGINE": "transformers",
        "READY": "1/1",
        "URL": f"http://bert.{space.namespace}.svc",
        "WHY": "",
        "AGE": "",
    }


def test_get_shows_an_empty_url_and_a_sentence_while_nothing_answers(space):
    space.apply(make_body())
    space.wait_for_reason("bert", "Starting")
    (row,) = cells(space.kubectl("get", "llmi"))
    assert (row["READY"], row["URL"], row["WHY"]) == ("0/1", "", "The replicas are being started.")


def test_get_wide_adds_task_reason_revision_and_image(space, serving):
    (row,) = cells(space.kubectl("get", "llmi", "-o", "wide"))
    assert (row["TASK"], row["REASON"], row["REVISION"]) == ("fill-mask", "Serving", "")
    assert row["IMAGE"] == "llminference/server:dev"


def test_get_knows_short_name_singular_plural_category_and_group(space, serving):
    for name in ("llmi", "llminference", "llminferences", "inference", "llminferences.llminference.dev"):
        assert space.kubectl("get", name, "-o", "name") == "llminference.llminference.dev/bert\n"


def test_get_finds_everything_of_a_resource_by_one_label(space, serving):
    found = space.kubectl("get", "deployments,services,pods", "-l", "llminference.dev/llminference=bert", "-o", "name")
    assert [line.split("/")[0] for line in found.splitlines()] == ["deployment.apps", "service", "pod"]


def test_describe_shows_conditions_and_events(space, serving):
    def described():
        text = space.kubectl("describe", "llmi", "bert")
        assert text.split("Events:")[1].split()[:4] == ["Type", "Reason", "Age", "From"], text
        return text

    text = eventually(described)
    assert "Observed Generation:" in text
    assert "Serving" in text


def test_scale_up_down_and_the_precondition(space, serving):
    space.kubectl("scale", "llmi/bert", "--replicas=3")
    space.wait_for_pods(3)
    assert space.need("llmi", "bert")["spec"]["replicas"] == 3
    with pytest.raises(AssertionError, match="Expected replicas to be 1, was 3"):
        space.kubectl("scale", "llmi/bert", "--current-replicas=1", "--replicas=5")
    space.kubectl("scale", "llmi/bert", "--current-replicas=3", "--replicas=1")
    space.wait_for_pods(1)


def test_scale_is_refused_with_a_sentence_while_an_autoscaler_decides(space):
    space.apply(make_body(autoscaling={"maxReplicas": 3}))
    with pytest.raises(AssertionError, match="Set replicas or autoscaling, not both"):
        space.kubectl("scale", "llmi/bert", "--replicas=2")


def test_wait_for_ready_comes_back_when_it_serves(space):
    space.apply(make_body())
    space.wait_for_pods(1)
    with pytest.raises(AssertionError, match="timed out waiting for the condition"):
        space.kubectl("wait", "--for=condition=Ready", "llmi/bert", "--timeout=1s")
    space.make_pods_ready()
    assert "condition met" in space.kubectl("wait", "--for=condition=Ready", "llmi/bert", "--timeout=60s")


def test_wait_for_stalled_gives_ci_an_early_end(space):
    space.apply(make_body(scheduling={"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}))
    assert "condition met" in space.kubectl("wait", "--for=condition=Stalled", "llmi/bert", "--timeout=60s")


def test_wait_for_a_count_and_for_deletion(space, serving):
    space.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=1", "llmi/bert", "--timeout=60s")
    space.delete("llmi", "bert")
    space.kubectl("wait", "--for=delete", "llmi/bert", "--timeout=60s")


def test_rollout_restart_replaces_the_pods_and_is_not_undone(space, serving):
    (old,) = (pod["metadata"]["name"] for pod in space.list("pods"))
    space.kubectl("rollout", "restart", "deployment/bert")
    (new,) = eventually(lambda: {pod["metadata"]["name"] for pod in space.list("pods")} - {old})
    stamp = template(space)["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
    space.set_pod_status(new, ready_status(space.need("pod", new)))
    eventually(lambda: old not in {pod["metadata"]["name"] for pod in space.list("pods")})
    space.wait_for_reason("bert", "Serving")
    # Nor by the next change of the spec, which writes the template.
    space.patch("llmi", "bert", {"spec": {"limits": {"maxQueuedRequests": 7}}})
    eventually(
        lambda: {"name": "LLMI_MAX_QUEUED_REQUESTS", "value": "7"} in template(space)["spec"]["containers"][0]["env"]
    )
    assert template(space)["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] == stamp


def test_rollout_status_waits_for_the_replicas(space, serving):
    assert "successfully rolled out" in space.kubectl("rollout", "status", "deployment/bert", "--timeout=60s")


def test_autoscale_scales_a_resource_that_names_its_replicas(tmp_path):
    with installed_control_plane(audit=False, autoscaler=True) as server:
        space = Space(server, "default")
        with OperatorProcess(make_account(server), tmp_path / "log"):
            # Without spec.replicas the scale subresource reads 0, which tells an autoscaler to keep off.
            space.apply(make_body(replicas=1))
            space.kubectl("autoscale", "llmi/bert", "--min=2", "--max=4", "--cpu=70%")
            # The real autoscaler lifts it to the minimum through the scale subresource, for which it needs no metrics.
            eventually(lambda: space.need("llmi", "bert")["spec"].get("replicas") == 2, seconds=60)
            space.wait_for_pods(2)

            def able():
                conditions = space.need("hpa", "bert").get("status", {}).get("conditions", [])
                assert {"AbleToScale": "True"}.items() <= {one["type"]: one["status"] for one in conditions}.items()
                return True

            eventually(able)
            throughout(lambda: space.need("hpa", "bert")["spec"]["scaleTargetRef"]["kind"] == "LLMInference", seconds=1)


def test_diff_is_empty_after_apply_and_shows_an_edit_before_it(space, serving):
    # kubectl reads twice, and what the operator writes to the status in between is a difference.
    eventually(lambda: space.kubectl("diff", "-f", "-", stdin=json.dumps(make_body())) == "")
    argv = [str(space.server._program("kubectl")), "--kubeconfig", str(space.server.kubeconfig)]
    argv += ["-n", space.namespace, "diff", "-f", "-"]
    changed = subprocess.run(argv, input=json.dumps(make_body(replicas=2)), capture_output=True, text=True, check=False)
    assert changed.returncode == 1
    assert "+  replicas: 2" in changed.stdout


def test_a_server_dry_run_refuses_what_is_wrong_and_keeps_nothing(space):
    wrong = json.dumps(make_body(replicas=1, autoscaling={"maxReplicas": 3}))
    with pytest.raises(AssertionError, match="Set replicas or autoscaling, not both"):
        space.kubectl("apply", "--dry-run=server", "-f", "-", stdin=wrong)
    assert "created (server dry run)" in space.kubectl(
        "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(make_body())
    )
    assert space.list("llmi") == []
    assert space.list("deployments") == []


def test_a_misspelt_field_is_refused_by_name(space):
    with pytest.raises(AssertionError, match=r'unknown field "spec\.replica"'):
        space.kubectl("apply", "-f", "-", stdin=json.dumps(make_body(replica=2)))


def test_server_side_apply_tells_who_changed_a_field(space):
    def apply(**spec):
        body = json.dumps(make_body(**spec))
        space.kubectl("apply", "--server-side", "--field-manager=ci", "-f", "-", stdin=body)

    apply(replicas=1)
    space.wait_for_reason("bert", "Starting")
    apply(replicas=1)
    space.kubectl("scale", "llmi/bert", "--replicas=2")
    with pytest.raises(AssertionError, match=r"(?s)conflict.*\.spec\.replicas"):
        apply(replicas=3)
    # Who leaves replicas out of what he applies has no quarrel with kubectl scale.
    apply()
    assert space.need("llmi", "bert")["spec"]["replicas"] == 2


def test_two_people_who_edit_at_once_do_not_overwrite_each_other(space, serving):
    first = space.need("llmi", "bert")
    space.patch("llmi", "bert", {"spec": {"replicas": 2}})
    first["spec"]["task"] = "embeddings"
    with pytest.raises(AssertionError, match="the object has been modified"):
        space.kubectl("replace", "-f", "-", stdin=json.dumps(first))


def test_an_edit_in_an_editor_is_taken_although_the_operator_writes_status_meanwhile(space, monkeypatch, tmp_path):
    space.apply(make_body(replicas=1))
    space.wait_for_reason("bert", "Starting")
    editor = tmp_path / "editor"
    patch = json.dumps({"status": {"why": "other words"}})
    kubectl = f"{space.server._program('kubectl')} --kubeconfig {space.server.kubeconfig} -n {space.namespace}"
    editor.write_text(
        "#!/bin/sh\nset -e\n"
        f"{kubectl} patch llmi bert --subresource=status --type=merge -p '{patch}'\n"
        'sed -i "s/replicas: 1/replicas: 2/" "$1"\n'
    )
    editor.chmod(0o755)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))
    assert "edited" in space.kubectl("edit", "llmi", "bert")
    space.wait_for_pods(2)


def test_what_get_prints_can_be_applied_again(space, serving):
    before = space.need("llmi", "bert")["metadata"]["generation"]
    space.kubectl("apply", "-f", "-", stdin=space.kubectl("get", "llmi", "bert", "-o", "yaml"))
    assert space.need("llmi", "bert")["metadata"]["generation"] == before


def test_labels_and_annotations_of_the_resource_restart_nothing(space, serving):
    before = template(space)
    space.kubectl("label", "llmi", "bert", "team=search")
    space.kubectl("annotate", "llmi", "bert", "note=ours")
    throughout(lambda: template(space) == before, seconds=2)
    assert space.need("llmi", "bert")["metadata"]["labels"] == {"team": "search"}


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_delete_takes_the_children_along(space, serving, cascade):
    space.kubectl("delete", "llmi", "bert", f"--cascade={cascade}", "--timeout=90s")
    assert space.get("llmi", "bert") is None
    for kind in ("deployment", "service"):
        eventually(lambda kind=kind: space.get(kind, "bert") is None, seconds=40)


def test_delete_with_orphans_leaves_the_children_running(space, serving):
    space.kubectl("delete", "llmi", "bert", "--cascade=orphan")
    eventually(lambda: not space.need("deployment", "bert")["metadata"].get("ownerReferences"))
    throughout(lambda: len(space.list("pods")) == 1, seconds=2)


def test_explain_lists_every_field_and_says_what_it_does(space):
    tree = space.kubectl("explain", "llmi", "--recursive")
    for field in (
        "tokenSecret",
        "maxQueuedRequests",
        "scaleDownDelaySeconds",
        "startupTimeoutSeconds",
        "readyReplicas",
    ):
        assert field in tree
    text = space.kubectl("explain", "llmi.spec.rollout.drainSeconds")
    assert "FIELD: drainSeconds <integer>" in text
    assert "Longest time" in text

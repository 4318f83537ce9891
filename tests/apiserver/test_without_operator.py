"""While no operator runs, nothing passes for ready: neither a resource that none has seen, nor an edit of one."""

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = pytest.mark.apiserver


def test_a_resource_that_no_operator_has_seen_says_so(space):
    space.apply(make_body())
    row = space.kubectl("get", "llmi", "--no-headers")
    assert "No operator has seen this yet. If this stays, see whether one runs" in row
    assert space.condition("bert")["status"] == "Unknown"
    with pytest.raises(AssertionError, match="timed out waiting for the condition"):
        space.kubectl("wait", "--for=condition=Ready", "llmi/bert", "--timeout=1s")


def test_the_first_words_of_the_operator_replace_what_was_said_in_its_absence(space, account, tmp_path):
    space.apply(make_body())
    with OperatorProcess(account, tmp_path / "log"):
        assert space.wait_for_reason("bert", "Starting") == "The replicas are being started."
    assert "1970" not in str(space.status("bert"))


def test_ready_for_an_older_generation_does_not_satisfy_kubectl_wait(space, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log"):
        space.apply(make_body())
        space.wait_for_pods(1)
        space.make_pods_ready()
        space.wait_for_reason("bert", "Serving")
        space.kubectl("wait", "--for=condition=Ready", "llmi/bert", "--timeout=60s")
    space.patch("llmi", "bert", {"spec": {"limits": {"maxQueuedRequests": 7}}})
    eventually(lambda: space.need("llmi", "bert")["metadata"]["generation"] == 2)
    assert space.condition("bert")["status"] == "True"
    with pytest.raises(AssertionError, match="timed out waiting for the condition"):
        space.kubectl("wait", "--for=condition=Ready", "llmi/bert", "--timeout=1s")

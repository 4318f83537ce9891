import pytest

from llmi_testing.observations import ago, condition, deployment, observed, pod, ready_pod

CREATED = 'Created new replica set "bert-2"'
PROGRESSES = 'ReplicaSet "bert-with-dashes-2" is progressing.'


def newest(*pods, progress=""):
    conditions = {"Progressing": condition("True", "ReplicaSetUpdated", progress)} if progress else {}
    return {one.name for one in observed(*pods, deployment=deployment(conditions=conditions)).newest_pods}


def test_the_version_of_the_pod_that_was_made_last_is_the_newest():
    first, second = pod("z", revision="1", created_at=ago(9)), pod("a", revision="2", created_at=ago(5))
    assert newest(first, second) == {"a"}
    assert newest(first, second, progress='ReplicaSet "bert-1" is progressing.') == {"a"}


@pytest.mark.parametrize("progress", [CREATED, PROGRESSES])
def test_of_versions_of_one_second_the_one_that_the_deployment_speaks_of_is_the_newest(progress):
    first, second = pod("z", revision="1"), pod("a", revision="2")
    assert newest(first, second, progress=progress) == {"a"}


def test_of_versions_of_one_second_one_that_answers_is_not_the_newest():
    assert newest(ready_pod("z", revision="1"), pod("a", revision="2")) == {"a"}


def test_pods_that_end_are_not_looked_at():
    assert newest(pod("z", revision="2", deleting=True), pod("y", revision="2", phase="Failed"), pod("a")) == {"a"}

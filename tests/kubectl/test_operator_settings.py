from llmi_kubectl.operator_settings import find_defaults


def deployment(namespace="llminference-system", **variables):
    env = [{"name": f"LLMI_OPERATOR_{name}", "value": value} for name, value in variables.items()]
    env.append(
        {
            "name": "LLMI_OPERATOR_LEASE_NAMESPACE",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        }
    )
    spec = {"template": {"spec": {"containers": [{"name": "operator", "env": env}]}}}
    return {"metadata": {"name": "o", "namespace": namespace}, "spec": spec}


def test_the_settings_are_those_of_the_operator_that_serves_the_namespace():
    found = find_defaults(
        [deployment(NAMESPACES="other", SERVER_IMAGE="a"), deployment("mine", NAMESPACES="models", SERVER_IMAGE="b")],
        "models",
    )
    assert (found.images["server_image"], found.operator_namespace) == ("b", "mine")


def test_an_operator_of_another_version_or_none_is_passed_over():
    assert find_defaults([deployment(FROM_THE_FUTURE="1")], "models") is None
    assert find_defaults([], "models") is None

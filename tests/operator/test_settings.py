import pytest

from llmi_operator.errors import SettingsError
from llmi_operator.settings import OperatorSettings


def read(**variables):
    return OperatorSettings.from_environment({f"LLMI_OPERATOR_{name}": value for name, value in variables.items()})


def test_without_variables_the_whole_cluster_is_served():
    assert OperatorSettings.from_environment({"PATH": "/bin"}).namespaces == ()


def test_namespaces_are_separated_by_commas():
    assert read(NAMESPACES="a, b,,c").namespaces == ("a", "b", "c")


def test_an_unknown_variable_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match=r"LLMI_OPERATOR_SERVERIMAGE .* did you mean LLMI_OPERATOR_SERVER_IMAGE"):
        read(SERVERIMAGE="x")


def test_an_unusable_value_is_refused_by_the_variables_name():
    with pytest.raises(SettingsError, match="LLMI_OPERATOR_HEALTH_PORT: Input should be a valid integer"):
        read(HEALTH_PORT="http")


def test_lease_times_that_let_two_write_are_refused():
    with pytest.raises(SettingsError, match="two replicas could write at once"):
        read(LEASE_DURATION_SECONDS="5")


def test_every_setting_is_described():
    for name in OperatorSettings.model_fields:
        assert f"LLMI_OPERATOR_{name.upper()}=" in OperatorSettings.describe()

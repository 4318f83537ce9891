"""Launch settings come out as environment variables."""

from llmi_api.launch import FetchLaunch, ServeLaunch, Task


def test_settings_become_variables_with_the_prefix():
    environment = ServeLaunch(model_name="bert", task=Task.FILL_MASK).to_environment()
    assert environment["LLMI_MODEL_NAME"] == "bert"
    assert environment["LLMI_TASK"] == "fill-mask"
    assert environment["LLMI_PORT"] == "8080"


def test_an_absent_setting_is_no_variable():
    assert "LLMI_HUB_TOKEN_FILE" not in FetchLaunch(model_id="a/b").to_environment()

"""Settings: read once, unknown ones refused with the nearest name."""

import pytest

from llmi_api.failure import FailureCode
from llmi_api.launch import Precision, Task
from llmi_server.errors import StartupError
from llmi_server.settings import FetchSettings, ServeSettings, describe_settings, read_settings

GOOD = {"LLMI_MODEL_NAME": "bert", "LLMI_TASK": "fill-mask"}


def refusal(arguments=(), environment=GOOD, kind=ServeSettings):
    with pytest.raises(StartupError) as caught:
        read_settings(kind, arguments, environment)
    assert caught.value.failure.code is FailureCode.INVALID_SETTINGS
    return caught.value.failure.message


def test_the_environment_is_read():
    settings = read_settings(ServeSettings, [], {**GOOD, "LLMI_PORT": "81", "HOME": "/", "LLMI_PRECISION": "bfloat16"})
    assert (settings.task, settings.port, settings.precision) == (Task.FILL_MASK, 81, Precision.BFLOAT16)


def test_flags_win_in_both_spellings():
    settings = read_settings(ServeSettings, ["--port", "82", "--model-name=x"], {**GOOD, "LLMI_PORT": "81"})
    assert (settings.port, settings.model_name) == (82, "x")


def test_an_empty_variable_is_one_that_is_not_set():
    assert read_settings(ServeSettings, [], {**GOOD, "LLMI_PORT": ""}).port == 8080


def test_settings_cannot_be_changed():
    settings = read_settings(ServeSettings, [], GOOD)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_an_unknown_variable_is_refused_with_the_nearest_name():
    assert refusal(environment={**GOOD, "LLMI_TASKS": "x"}) == "LLMI_TASKS is not a setting; did you mean LLMI_TASK?"
    assert "did you mean LLMI_" in refusal(environment={**GOOD, "LLMI_ZZZ": "x"})


def test_an_unknown_flag_is_refused_with_the_nearest_name():
    assert refusal(["--prot", "1"]) == "--prot is not a setting; did you mean --port?"
    assert refusal(["port", "1"]) == "port is not a setting; did you mean --port?"


def test_a_flag_without_value_is_refused():
    assert refusal(["--port"]) == "--port needs a value."


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "0"), ("PORT", "65536"), ("PORT", "x"), ("PORT", "1.5"), ("TASK", "chat"), ("PRECISION", "int4"),
     ("MAX_QUEUED_REQUESTS", "-1"), ("LOG_LEVEL", "loud"), ("THREADS", "0"), ("MAX_INPUT_TOKENS", "99999")],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(name, value):
    message = refusal(environment={**GOOD, f"LLMI_{name}": value})
    assert f"LLMI_{name}" in message


def test_what_is_missing_is_named():
    assert refusal(environment={}) == "LLMI_MODEL_NAME is required and not set; LLMI_TASK is required and not set."


def test_settings_of_the_other_command_are_unknown():
    assert "LLMI_MODEL_ID" in refusal(environment={**GOOD, "LLMI_MODEL_ID": "a/b"})
    assert "LLMI_TASK" in refusal(environment={"LLMI_MODEL_ID": "a/b", "LLMI_TASK": "x"}, kind=FetchSettings)


def test_help_describes_every_setting():
    text = describe_settings(ServeSettings)
    assert all(name.replace("_", "-") in text for name in ServeSettings.model_fields)

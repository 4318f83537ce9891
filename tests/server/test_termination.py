"""The line that is left for the operator."""

from llmi_api.failure import Failure, FailureCode
from llmi_server import termination
from llmi_server.termination import leave_message

FAILURE = Failure(code=FailureCode.DISK_FULL, message="Full.", next="Empty it.")


def test_the_message_is_one_json_line(tmp_path):
    leave_message(tmp_path / "log", FAILURE)
    assert Failure.model_validate_json((tmp_path / "log").read_text()) == FAILURE
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_outside_a_pod_nothing_is_left_at_the_default_place(tmp_path, monkeypatch):
    monkeypatch.setattr(termination, "TERMINATION_MESSAGE_PATH", tmp_path / "log")
    leave_message(tmp_path / "log", FAILURE)
    assert not (tmp_path / "log").exists()


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    leave_message(tmp_path / "nowhere" / "log", FAILURE)

"""Every failure has an exit code of its own that no shell or signal uses."""

from llmi_api.failure import EXIT_CODES, FailureCode


def test_every_code_has_its_own_exit_status():
    assert set(EXIT_CODES) == set(FailureCode)
    assert len(set(EXIT_CODES.values())) == len(FailureCode)


def test_no_exit_status_is_one_that_a_shell_or_a_signal_uses():
    assert all(64 <= status < 126 for status in EXIT_CODES.values())

"""What the operator may tell a container, the server reads back the same."""

import pytest

from llmi_api.failure import EXIT_CODES, FailureCode
from llmi_api.launch import FetchLaunch, Precision, ServeLaunch, Task
from llmi_server.settings import FetchSettings, ServeSettings, read_settings

SERVE = [
    ServeLaunch(model_name="bert", task=Task.FILL_MASK),
    ServeLaunch(
        model_name="namespace/name",
        task=Task.EMBEDDINGS,
        precision=Precision.BFLOAT16,
        device="cuda",
        port=9000,
        model_dir="/model/sub path",
        max_input_tokens=128,
        max_batch_tokens=4096,
        max_queued_requests=1,
        request_timeout_seconds=5,
        drain_seconds=0,
        api_key_file="/var/run/secrets/llmi/api-key/key",
    ),
]
FETCH = [
    FetchLaunch(model_id="google-bert/bert-large-uncased"),
    FetchLaunch(
        model_id="a/b",
        model_revision="refs/pr/1",
        hub_endpoint="http://hub:8000",
        hub_token_file="/var/run/secrets/llmi/hub-token/token",
    ),
]


@pytest.mark.parametrize("launch", SERVE)
def test_serve_reads_back_what_the_operator_wrote(launch):
    settings = read_settings(ServeSettings, [], launch.to_environment())
    assert settings.model_dump(include=set(ServeLaunch.model_fields)) == launch.model_dump()


@pytest.mark.parametrize("launch", FETCH)
def test_fetch_reads_back_what_the_operator_wrote(launch):
    settings = read_settings(FetchSettings, [], launch.to_environment())
    assert settings.model_dump(include=set(FetchLaunch.model_fields)) == launch.model_dump()


def test_every_failure_has_an_exit_code_of_its_own_that_is_no_shells_and_no_signals():
    assert set(EXIT_CODES) == set(FailureCode)
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert all(64 <= code < 126 for code in EXIT_CODES.values())

"""KServe's protocol, judged by Triton's own client."""

import json
import struct

import numpy as np
import pytest

from llmi_api.launch import Task
from llmi_testing.server import MODEL_NAME, running_server

triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed; make init brings it")
utils = pytest.importorskip("tritonclient.utils")


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running


def client_of(server):
    return triton.InferenceServerClient(server.url.removeprefix("http://"))


def texts(*values, binary=True):
    tensor = triton.InferInput("text", [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array(values, dtype=object), binary_data=binary)
    return [tensor]


def infer(server, **body):
    whole = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}], **body}
    return server.http.post(f"/v2/models/{MODEL_NAME}/infer", json=whole)


def test_tritons_client_finds_server_and_model(server):
    with client_of(server) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL_NAME)
        assert client.is_model_ready(MODEL_NAME, "1")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        metadata = client.get_model_metadata(MODEL_NAME)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["text"]
    assert metadata["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, -1]}]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tritons_client_gets_the_vectors_of_the_openai_route(server, binary_in, binary_out):
    words = ["a", "b c", "Grüße"]
    outputs = [triton.InferRequestedOutput("embedding", binary_data=binary_out)]
    with client_of(server) as client:
        result = client.infer(MODEL_NAME, texts(*words, binary=binary_in), outputs=outputs, request_id="r-1")
    body = {"model": MODEL_NAME, "input": words}
    expected = [entry["embedding"] for entry in server.http.post("/v1/embeddings", json=body).json()["data"]]
    np.testing.assert_allclose(result.as_numpy("embedding"), expected, rtol=1e-6)
    assert result.get_response()["id"] == "r-1"


def test_without_a_wish_tritons_client_gets_bytes(server):
    with client_of(server) as client:
        assert client.infer(MODEL_NAME, texts("a", "b")).as_numpy("embedding").shape == (2, 4)


def test_answers_in_words_are_the_task_routes_as_json():
    with running_server(task=Task.TEXT_CLASSIFICATION) as server, client_of(server) as client:
        result = client.infer(MODEL_NAME, texts("a", "b"), parameters={"top_k": 1}).as_numpy("answer")
        body = {"inputs": ["a", "b"], "parameters": {"top_k": 1}}
        assert [json.loads(answer) for answer in result] == server.http.post("/", json=body).json()


def test_labels_and_queries_are_parameters():
    with running_server(task=Task.ZERO_SHOT_CLASSIFICATION) as server, client_of(server) as client:
        result = client.infer(MODEL_NAME, texts("a"), parameters={"candidate_labels": "x,y"}).as_numpy("answer")
        assert len(json.loads(result[0])) == 2
    with running_server(task=Task.RERANK) as server, client_of(server) as client:
        assert client.infer(MODEL_NAME, texts("b", "c"), parameters={"query": "a"}).as_numpy("score").shape == (2,)


def test_a_models_name_does_without_its_owner_as_on_triton():
    with running_server(model_name="owner/short") as server, client_of(server) as client:
        assert client.is_model_ready("short")
        assert client.infer("short", texts("a")).get_response()["model_name"] == "owner/short"
        assert not client.is_model_ready("owner")


def test_texts_in_a_column_are_answered_in_a_column_as_on_triton():
    with running_server(task=Task.RERANK) as server, client_of(server) as client:
        column = triton.InferInput("text", [2, 1], "BYTES")
        column.set_data_from_numpy(np.array([["b"], ["c"]], dtype=object))
        assert client.infer(MODEL_NAME, [column], parameters={"query": "a"}).as_numpy("score").shape == (2, 1)


def test_refusals_have_the_protocols_own_shape(server):
    with client_of(server) as client, pytest.raises(utils.InferenceServerException, match="is not served here"):
        client.infer("other", texts("a"))
    with client_of(server) as client:
        assert not client.is_model_ready("other")
    assert set(infer(server, inputs=[]).json()) == {"error"}


def test_before_the_model_is_loaded_it_is_not_ready():
    with running_server(load=False) as server, client_of(server) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready(MODEL_NAME)
        assert infer(server).status_code == 503
        assert isinstance(infer(server).json()["error"], str)


def tensor(**values):
    return [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"], **values}]


@pytest.mark.parametrize(
    ("body", "says"),
    [({"inputs": tensor(name="image")}, "no input 'image'"), ({"inputs": tensor(datatype="FP32")}, "datatype"),
     ({"inputs": tensor(shape=[2])}, "not that of 1 texts"), ({"inputs": tensor(shape=[-1])}, "shape"),
     ({"inputs": tensor(data=[1])}, "not a text"), ({"inputs": tensor(data=None)}, "binary_data_size"),
     ({"inputs": tensor(data=[""])}, "empty"), ({"outputs": [{"name": "other"}]}, "no output 'other'"),
     ({"parameters": {"top_k": 1}}, "top_k is not supported"), ({"unknown": 1}, "unknown is not supported")],
)  # fmt: skip
def test_what_is_no_question_is_a_400_that_says_why(server, body, says):
    answer = infer(server, **body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def packed(*values):
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


@pytest.mark.parametrize(
    ("binary", "size", "says"),
    [(packed(b"a")[:-1], 4, "break off within a text"), (b"\x01\x00", 2, "break off within a length"),
     (packed(b"\xff"), 5, "not valid UTF-8"), (packed(b"a"), 4, "binary_data_size"),
     (b"\xff\xff\xff\xff", 4, "break off within a text")],
)  # fmt: skip
def test_broken_bytes_are_a_400_that_says_why(server, binary, size, says):
    head = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}]}
    content = json.dumps(head).encode()
    headers = {"inference-header-content-length": str(len(content))}
    answer = server.http.post(f"/v2/models/{MODEL_NAME}/infer", content=content + binary, headers=headers)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "9" * 5000, ""])
def test_a_wrong_length_of_the_json_is_a_400(server, length):
    headers = {"inference-header-content-length": length}
    answer = server.http.post(f"/v2/models/{MODEL_NAME}/infer", content=b"{}", headers=headers)
    assert answer.status_code == 400


def test_deep_nesting_of_the_data_is_no_problem(server):
    deep = ["a"]
    for _ in range(200):
        deep = [deep]
    assert infer(server, inputs=tensor(data=deep)).status_code == 200

"""KServe's protocol in front of vLLM, in the words of Triton's own client.

Around a pretended vLLM: the real one takes minutes to start, and answers in tests/operator/plan/engines.
"""

import base64
import importlib.util
import json
import struct
import sys

import httpx
import numpy as np
import pytest
import tritonclient.http as triton

from llmi_operator.inside.vllm_kserve import INPUT, TASKS, KServe
from llmi_operator.plan.engine_files import build_engine_files
from llmi_server.schema import kserve
from llmi_server.tasks.text_classification import TextClassification, TextClassificationParameters
from llmi_testing.inference import make_resource

MODEL = "owner/short"
INFER = "/v2/models/short/infer"
LOGITS = [0.5, -2.0, 3.25]
CONFIG = {"id2label": {"0": "good", "1": "bad", "2": "ugly"}}


class Vllm:
    """Answers as vLLM does, and remembers what it was asked."""

    def __init__(self, status=200):
        self.status = status
        self.asked = []
        self.headers = {}

    async def __call__(self, scope, receive, send):
        body = (await receive())["body"]
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], scope["path"], json.loads(body) if body else None))
        text = json.dumps(self.answer(scope["path"])).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        headers.append((b"x-request-id", self.headers.get("x-request-id", "made up").encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        # In pieces, and the last of the texts first: neither may matter.
        await send({"type": "http.response.body", "body": text[:7], "more_body": True})
        await send({"type": "http.response.body", "body": text[7:]})

    def answer(self, path):
        if self.status != 200:
            return {"error": {"message": "vLLM's own words.", "type": "BadRequestError", "param": None, "code": 400}}
        asked = self.asked[-1][2] or {}
        if path == "/v1/embeddings":
            vectors = [struct.pack("<3f", len(text), 0.5, -1) for text in asked["input"]]
            data = [{"embedding": base64.b64encode(vector).decode()} for vector in vectors]
        elif path == "/classify":
            data = [{"label": "ugly", "probs": LOGITS} for _ in asked["input"]]
        elif path == "/score":
            data = [{"score": len(text) - 2.0} for text in asked["documents"]]
        else:
            return {"version": "0.32.0"}
        return {"data": [{"index": index, **item} for index, item in enumerate(data)][::-1]}


def speaking(vllm, task="embeddings", folder="/nowhere"):
    return KServe(vllm, model=MODEL, task=task, folder=str(folder))


async def send(app, method, path, **request):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vllm") as client:
        return await client.request(method, path, **request)


async def infer(app, texts, *, binary_in=True, outputs=None, shape=None, headers=None, **request):
    """What Triton's client sends, and what it understands of the answer."""
    tensor = triton.InferInput("text", shape or [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(tensor.shape()), binary_data=binary_in)
    body, length = triton.InferenceServerClient.generate_request_body([tensor], outputs, **request)
    told = {"inference-header-content-length": str(length)} if length else {}
    answer = await send(app, "POST", INFER, content=body, headers={**told, **(headers or {})})
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("inference-header-content-length")
    parsed = triton.InferenceServerClient.parse_response_body(answer.content, header_length=int(length or 0) or None)
    return parsed, answer


def ask(app, **body):
    whole = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}], **body}
    return send(app, "POST", INFER, content=json.dumps(whole))


def test_names_types_and_shapes_are_those_of_the_bundled_server():
    ours = {task: kind.output.describe() for task, kind in TASKS.items()}
    assert ours == {task: kserve.output_of(task).model_dump() for task in TASKS}
    assert INPUT.describe() == kserve.INPUT.model_dump()


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
async def test_texts_become_vectors_in_the_order_that_they_came(binary_in, binary_out):
    vllm = Vllm()
    outputs = [triton.InferRequestedOutput("embedding", binary_data=binary_out)]
    result, answer = await infer(speaking(vllm), ["a", "Grüße"], binary_in=binary_in, outputs=outputs, request_id="r-1")
    np.testing.assert_array_equal(result.as_numpy("embedding"), np.float32([[1, 0.5, -1], [5, 0.5, -1]]))
    assert result.get_response()["id"] == "r-1"
    assert result.get_response()["model_name"] == MODEL
    assert answer.headers["content-length"] == str(len(answer.content))
    ((method, path, body),) = vllm.asked
    assert (method, path, body["model"], body["input"]) == ("POST", "/v1/embeddings", MODEL, ["a", "Grüße"])


async def test_without_a_wish_tritons_client_gets_bytes():
    _, answer = await infer(speaking(Vllm()), ["a"])
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_parameters_are_said_in_vllms_words():
    vllm = Vllm()
    chosen = {"normalize": False, "truncate": True, "truncation_direction": "Left"}
    await infer(speaking(vllm), ["a"], parameters=chosen)
    asked = vllm.asked[0][2]
    assert (asked["use_activation"], asked["truncate_prompt_tokens"], asked["truncation_side"]) == (False, -1, "left")


@pytest.mark.parametrize("problem", [None, "multi_label_classification", "regression"])
@pytest.mark.parametrize("parameters", [{}, {"top_k": 1}, {"function_to_apply": "softmax"}])
async def test_classes_and_scores_are_those_of_the_bundled_server(tmp_path, problem, parameters):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "problem_type": problem}))
    vllm = Vllm()
    result, _ = await infer(speaking(vllm, "text-classification", tmp_path), ["a"], parameters=parameters)
    (answer,) = map(json.loads, result.as_numpy("answer"))
    bundled = TextClassification(None, limit=9, labels=list(CONFIG["id2label"].values()), problem_type=problem)
    expected = bundled.answer(None, np.float32(LOGITS), TextClassificationParameters(**parameters))
    assert [item["label"] for item in answer] == [item["label"] for item in expected]
    assert [item["score"] for item in answer] == pytest.approx([item["score"] for item in expected])
    assert vllm.asked[0][2]["use_activation"] is False


async def test_documents_are_scored_by_the_query_and_a_column_is_answered_in_a_column():
    vllm = Vllm()
    app = speaking(vllm, "rerank")
    result, _ = await infer(app, ["b", "cc"], shape=[2, 1], parameters={"query": "a"})
    np.testing.assert_allclose(result.as_numpy("score"), [[1 / (1 + np.e)], [0.5]], rtol=1e-6)
    result, _ = await infer(app, ["b", "cc"], parameters={"query": "a", "raw_scores": True})
    assert list(result.as_numpy("score")) == [-1, 0]
    assert (vllm.asked[0][2]["queries"], vllm.asked[0][2]["documents"]) == ("a", ["b", "cc"])


async def test_who_asks_and_what_is_traced_passes_through_and_what_is_said_of_the_body_does_not():
    vllm = Vllm()
    known = {"x-request-id": "mine", "traceparent": "00-1-2-01", "content-type": "application/octet-stream"}
    _, answer = await infer(speaking(vllm), ["a"], headers=known)
    assert answer.headers["x-request-id"] == "mine"
    assert vllm.headers["traceparent"] == "00-1-2-01"
    assert vllm.headers["content-type"] == "application/json"
    assert int(vllm.headers["content-length"]) == len(json.dumps(vllm.asked[0][2]))


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_what_vllm_refuses_is_refused_in_the_protocols_shape(status):
    answer = await ask(speaking(Vllm(status)))
    assert answer.status_code == status
    assert answer.json() == {"error": "vLLM's own words."}
    assert answer.headers["x-request-id"] == "made up"


async def test_server_and_model_are_described():
    app = speaking(Vllm())
    server = (await send(app, "GET", "/v2")).json()
    assert server == {"name": "vllm", "version": "0.32.0", "extensions": ["binary_tensor_data"]}
    for path in ("/v2/models/short", "/v2/models/owner/short", "/v2/models/short/versions/1"):
        model = (await send(app, "GET", path)).json()
        assert (model["name"], model["versions"]) == (MODEL, ["1"])
        assert model["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, -1]}]


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/short/ready", "/v2/models/short/versions/1/ready"])
async def test_it_is_ready_when_vllm_is(path):
    vllm = Vllm()
    assert (await send(speaking(vllm), "GET", path)).status_code == 200
    assert vllm.asked == [("GET", "/health", None)]
    assert (await send(speaking(Vllm(503)), "GET", path)).status_code == 503
    assert (await send(speaking(Vllm(503)), "GET", "/v2/health/live")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [("GET", "/v2/models/other", 404, "not served here"), ("GET", "/v2/models/owner/ready", 404, "not served here"),
     ("GET", "/v2/models/short/versions/2", 404, "not served here"), ("GET", INFER, 405, "takes POST"),
     ("POST", "/v2/health/live", 405, "takes GET")],
)  # fmt: skip
async def test_what_is_not_there_is_told(method, path, status, says):
    answer = await send(speaking(Vllm()), method, path)
    assert answer.status_code == status
    assert says in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v2/embed", "/v2/rerank"])
async def test_other_paths_are_vllms(path):
    vllm = Vllm(400)
    await send(speaking(vllm), "POST", path, json={})
    assert vllm.asked == [("POST", path, {})]


def tensor(**values):
    return [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"], **values}]


@pytest.mark.parametrize(
    ("body", "says"),
    [({"inputs": tensor(name="image")}, "no input 'image'"), ({"inputs": tensor(datatype="FP32")}, "datatype"),
     ({"inputs": tensor(shape=[2])}, "not that of 1 texts"), ({"inputs": tensor(shape=[-1])}, "shape"),
     ({"inputs": tensor(data=[1])}, "not a text"), ({"inputs": tensor(data=None)}, "binary_data_size"),
     ({"inputs": tensor(data=[" "])}, "empty"), ({"inputs": tensor(data=[], shape=[0])}, "empty"),
     ({"outputs": [{"name": "other"}]}, "no output 'other'"), ({"inputs": tensor(data=["\ud800"])}, "surrogate"),
     ({"parameters": {"top_k": 1}}, "top_k is not supported"), ({"unknown": 1}, "unknown is not supported"),
     ({"parameters": {"prompt_name": "x"}}, "prompt_name is not supported"), ({"inputs": []}, "inputs")],
)  # fmt: skip
async def test_what_is_no_question_is_a_400_that_says_why_and_vllm_is_not_asked(body, says):
    vllm = Vllm()
    answer = await ask(speaking(vllm), **body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert not vllm.asked


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"NaN", b"[" * 100_000])
async def test_what_is_no_json_is_a_400(content):
    answer = await send(speaking(Vllm()), "POST", INFER, content=content)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("length", ["-1", "x", "99999", "9" * 5000, ""])
async def test_a_wrong_length_of_the_json_is_a_400(length):
    headers = {"inference-header-content-length": length}
    assert (await send(speaking(Vllm()), "POST", INFER, content=b"{}", headers=headers)).status_code == 400


@pytest.mark.parametrize("parameters", [{}, {"query": " "}, {"query": "a", "truncate": True}])
async def test_a_rerank_without_a_query_or_with_what_vllm_cannot_cut_alike_is_a_400(parameters):
    vllm = Vllm()
    assert (await ask(speaking(vllm, "rerank"), parameters=parameters)).status_code == 400
    assert not vllm.asked


async def test_a_compressed_body_is_a_415():
    answer = await send(speaking(Vllm()), "POST", INFER, content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


@pytest.fixture
def front(tmp_path, monkeypatch):
    """The front as it lies in a pod, beside nothing of ours but what the operator has put there."""
    resource = make_resource("short", task="embeddings", engine={"name": "vllm"}, model={"id": MODEL})
    for name, text in build_engine_files(resource)["data"].items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("LLMI_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LLMI_API_KEY_FILE", str(tmp_path / "keys"))
    (tmp_path / "keys").write_text("secret\n")
    spec = importlib.util.spec_from_file_location("front_of_a_pod", tmp_path / "vllm_front.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.Front
    for name in [name for name in sys.modules if name.startswith("llmi_inside")]:
        del sys.modules[name]


async def test_keys_are_asked_for_here_too_and_refusals_have_the_protocols_shape(front):
    app = front(Vllm())
    for path in ("/v2", "/v2/health/ready", "/v2/models/short"):
        answer = await send(app, "GET", path)
        assert answer.status_code == 401
        assert isinstance(answer.json()["error"], str)
        assert (await send(app, "GET", path, headers={"authorization": "Bearer secret"})).status_code == 200
    assert (await send(app, "POST", "/v2/embed")).json()["error"]["code"] == "invalid_api_key"


async def test_a_generating_vllm_has_none_of_it():
    resource = make_resource("chat", task="text-generation", engine={"name": "vllm"})
    assert set(build_engine_files(resource)["data"]) == {"logging.json", "vllm_front.py"}

"""Generated text as clients get it, judged by the official clients, with a real engine process."""

import asyncio
import json
import threading

import httpx
import openai
import pytest
from huggingface_hub import InferenceClient

from llmi_testing.generation import generating_server
from llmi_testing.server import MODEL_NAME

pytestmark = pytest.mark.timeout(300)  # a second process imports PyTorch
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def server():
    with generating_server(request_timeout_seconds=60, max_output_tokens=400) as running:
        yield running


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def chat(client, **fields):
    return client.chat.completions.create(
        **{"model": MODEL_NAME, "messages": HELLO, "max_tokens": 12, "temperature": 0} | fields
    )


def test_the_openai_client_chats(client):
    answer = chat(client)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def test_a_stream_is_the_same_answer_in_pieces_role_first_usage_last(client):
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_asynchronous_client_does_too(server, client):
    whole = chat(client).choices[0].message.content
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as other:
        stream = await chat(other, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == whole


def test_the_wire_is_plain_server_sent_events(server):
    body = {"model": MODEL_NAME, "messages": HELLO, "max_tokens": 3, "stream": True}
    with server.http.stream("POST", "/v1/chat/completions", json=body, headers={"x-request-id": "abc"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-request-id"] == "abc"
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[0].removeprefix("data: "))["choices"][0]["finish_reason"] is None


def test_a_stop_string_ends_the_answer_and_is_not_in_it(client):
    whole = chat(client, max_tokens=40).choices[0].message.content
    stop = whole[10:13]
    for stream in (False, True):
        answer = chat(client, max_tokens=40, stop=[stop, "never comes"], stream=stream)
        if stream:
            chunks = list(answer)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            reason = chunks[-1].choices[0].finish_reason
        else:
            text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
        assert text == whole[: whole.index(stop)]
        assert reason == "stop"


def test_the_same_seed_gives_the_same_answer_alone_and_in_company(client):
    sampled = {"temperature": 1, "seed": 4, "max_tokens": 30}
    alone = chat(client, **sampled).choices[0].message.content
    assert chat(client, **sampled | {"seed": 5}).choices[0].message.content != alone
    answers = []

    def ask(number):
        answers.append((number, chat(client, **sampled | {"seed": 4 if number == 3 else 100 + number})))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(answers)[3].choices[0].message.content == alone


def test_probabilities_are_told_for_each_token(client):
    answer = chat(client, logprobs=True, top_logprobs=3, max_tokens=5)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == pytest.approx(token.logprob, abs=1e-5)


def test_contents_in_parts_and_a_developer_are_understood(client):
    plain = [{"role": "system", "content": "ab"}, {"role": "user", "content": "hello"}]
    parts = [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    ]
    assert chat(client, messages=parts).choices == chat(client, messages=plain).choices


def test_completions_continue_a_text(client):
    fields = {"model": MODEL_NAME, "prompt": "hello", "max_tokens": 6, "temperature": 0}
    whole = client.completions.create(**fields, logprobs=2)
    assert whole.choices[0].text
    assert len(whole.choices[0].logprobs.tokens) == 6
    assert len(whole.choices[0].logprobs.top_logprobs[0]) <= 2
    chunks = list(client.completions.create(**fields, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"


def test_the_hugging_face_client_chats_and_continues(server):
    hub = InferenceClient(server.url)
    answer = hub.chat_completion([{"role": "user", "content": "hello"}], max_tokens=6, temperature=0)
    streamed = hub.chat_completion([{"role": "user", "content": "hello"}], max_tokens=6, temperature=0, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == answer.choices[0].message.content
    text = hub.text_generation("hello", max_new_tokens=6)
    assert hub.text_generation("hello", max_new_tokens=6, return_full_text=True) == f"hello{text}"
    assert "".join(hub.text_generation("hello", max_new_tokens=6, stream=True)) == text
    details = hub.text_generation("hello", max_new_tokens=6, details=True).details
    assert (details.finish_reason, details.generated_tokens, len(details.tokens)) == ("length", 6, 6)
    events = list(hub.text_generation("hello", max_new_tokens=6, stream=True, details=True))
    assert events[-1].generated_text == text
    assert events[-1].details.finish_reason == "length"


def test_an_answer_without_a_limit_is_bounded_by_the_settings(client):
    answer = chat(client, max_tokens=None)
    assert answer.usage.completion_tokens <= 400
    assert answer.choices[0].finish_reason in ("stop", "length")


BAD = {
    "temperature below 0": {"temperature": -1},
    "temperature above 2": {"temperature": 2.0001},
    "temperature as text": {"temperature": "1"},
    "true for temperature": {"temperature": True},
    "top_p 0": {"top_p": 0},
    "top_p above 1": {"top_p": 1.0001},
    "top_p below 0": {"top_p": -0.1},
    "top_k 0": {"top_k": 0},
    "top_k below 0": {"top_k": -1},
    "top_k huge": {"top_k": 2**31},
    "top_k not whole": {"top_k": 0.01},
    "max_tokens 0": {"max_tokens": 0},
    "max_tokens below 0": {"max_tokens": -1},
    "max_tokens over the limit": {"max_tokens": 401},
    "max_tokens of 32 bits": {"max_tokens": 2**31},
    "max_tokens of 64 bits": {"max_tokens": 2**63},
    "max_tokens of more": {"max_tokens": 2**64},
    "max_tokens as text": {"max_tokens": "5"},
    "max_tokens not whole": {"max_tokens": 5.0},
    "n 0": {"n": 0},
    "n 2": {"n": 2},
    "n huge": {"n": 1_000_000},
    "many stops": {"stop": ["x"] * 10_000},
    "an empty stop": {"stop": [""]},
    "a long stop": {"stop": "x" * 1_000_000},
    "stop of numbers": {"stop": [1]},
    "seed below 0": {"seed": -1},
    "seed of 65 bits": {"seed": 2**64},
    "stream as text": {"stream": "yes"},
    "stream options without a stream": {"stream_options": {"include_usage": True}},
    "biases": {"logit_bias": {"5": 100}},
    "many biases": {"logit_bias": {str(number): 1 for number in range(50_000)}},
    "tools": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
    "json": {"response_format": {"type": "json_object"}},
    "a template": {"chat_template": "{{ 1 }}"},
    "likely tokens without probabilities": {"top_logprobs": 2},
    "too many likely tokens": {"logprobs": True, "top_logprobs": 21},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}]},
    "no messages": {"messages": []},
    "a message without content": {"messages": [{"role": "user"}]},
    "an unknown role": {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
    "messages as text": {"messages": "hello"},
    "an unknown field": {"nonsense": 1},
    "a penalty out of range": {"frequency_penalty": 2.1},
}  # fmt: skip


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_meant_is_a_400_in_openais_shape(server, fields):
    answer = server.http.post("/v1/chat/completions", json={"model": MODEL_NAME, "messages": HELLO} | fields)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert len(answer.content) < 1500


def test_a_prompt_beyond_the_context_is_a_400_that_names_the_numbers(server, client):
    with pytest.raises(openai.BadRequestError, match=r"has \d+ tokens") as caught:
        chat(client, messages=[{"role": "user", "content": "x" * 3000}])
    assert caught.value.code == "context_length_exceeded"


def test_the_edges_of_what_is_allowed_work(client):
    for fields in ({"temperature": 1e-5}, {"temperature": 2, "top_p": 1}, {"n": 1, "stop": []}, {"seed": 0},
                   {"logit_bias": {}, "tools": [], "user": "u"}, {"temperature": -0.0}):  # fmt: skip
        assert chat(client, max_tokens=2, **fields).choices


@pytest.mark.parametrize("path", ["/v1/completions", "/"])
def test_the_other_routes_refuse_what_they_do_not_do(server, path):
    bodies = {
        "/v1/completions": [{"prompt": ""}, {"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"prompt": "a", "echo": True},
                            {"prompt": "a", "best_of": 2}, {"prompt": "a", "suffix": "b"}],
        "/": [{"inputs": ["a"]}, {"inputs": ""}, {"inputs": "a", "parameters": {"temperature": 0}},
              {"inputs": "a", "parameters": {"grammar": {"type": "regex", "value": "a"}}}, {"inputs": 5}],
    }  # fmt: skip
    for body in bodies[path]:
        full = {"model": MODEL_NAME, **body} if path != "/" else body
        assert server.http.post(path, json=full).status_code == 400, body


def test_another_model_is_a_404(client):
    with pytest.raises(openai.NotFoundError):
        chat(client, model="other")


def test_special_tokens_as_text_do_no_harm(client):
    assert chat(client, messages=[{"role": "user", "content": "<|end|><|assistant|> [MASK]"}]).choices


async def test_many_at_once_get_their_own_answers(server, client):
    texts = [f"number {number}" for number in range(24)]
    alone = [
        chat(client, messages=[{"role": "user", "content": text}], max_tokens=5).choices[0].message.content
        for text in texts
    ]
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as other:
        answers = await asyncio.gather(
            *(chat(other, messages=[{"role": "user", "content": text}], max_tokens=5) for text in texts)
        )
    assert [answer.choices[0].message.content for answer in answers] == alone


def test_metrics_tell_tokens_and_times(server, client):
    before = sample(server, "llmi_tokens_total", {"type": "generated"})
    completed = chat(client, max_tokens=5).usage.completion_tokens
    assert sample(server, "llmi_tokens_total", {"type": "generated"}) == before + completed
    seen = sample(
        server,
        "gen_ai_server_time_to_first_token_seconds_count",
        {"gen_ai_operation_name": "chat", "model_name": MODEL_NAME},
    )
    assert seen > 0
    assert sample(server, "llmi_kv_cache_usage_ratio") == 0
    assert 0 < sample(server, "llmi_engine_busy_seconds_total") < server.lifecycle.age_seconds
    text = httpx.get(f"{server.url}/metrics").text
    assert 'llmi_requests_total{code="200",operation="chat"}' in text


def sample(server, name, labels=None):
    return server.telemetry.registry.get_sample_value(name, labels or {})

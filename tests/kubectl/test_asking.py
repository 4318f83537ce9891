"""What is said to a model and of its answer, against a server of aiohttp's own."""

import pytest
from aiohttp import web

from llmi_api.v1alpha1 import LLMInferenceSpec
from llmi_kubectl.asking import ask_model, read_key
from llmi_kubectl.errors import Exit, PluginError

SPEC = LLMInferenceSpec.model_validate({"model": {"id": "a/b"}, "task": "fill-mask"})


@pytest.fixture
async def serve():
    """Starts a model that answers as told; gives its address and what it was asked."""
    runners = []

    async def start(answer, status=200):
        asked = []

        async def reply(request):
            asked.append((await request.json(), request.headers.get("Authorization")))
            return web.json_response(answer, status=status)

        async def tell(_):
            return web.json_response({"mask_token": "<mask>"})

        app = web.Application()
        app.router.add_post("/", reply)
        app.router.add_get("/status", tell)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", asked

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_the_models_own_mask_is_asked_for_and_the_answer_summed_up(serve):
    base, asked = await serve([{"score": 0.9, "token_str": "paris"}])
    answer = await ask_model(base, "models", "bert", SPEC, text=None, key="secret")
    assert asked[0][0]["inputs"] == "The capital of France is <mask>."
    assert asked[0][1] == "Bearer secret"
    assert answer.summary == (" 90.0%  paris",)


async def test_a_model_that_wants_a_key_is_told_how_to_get_one(serve):
    base, _ = await serve({"error": {"message": "A valid API key is needed."}}, 401)
    with pytest.raises(PluginError, match=r"answered 401: A valid API key is needed.*--api-key-file") as caught:
        await ask_model(base, "models", "bert", SPEC, text=None, key=None)
    assert caught.value.exit_status is Exit.NO_ANSWER


async def test_a_refusal_is_shown_in_the_models_words(serve):
    base, _ = await serve({"error": {"message": "inputs has no mask"}}, 400)
    with pytest.raises(PluginError, match="answered 400: inputs has no mask"):
        await ask_model(base, "models", "bert", SPEC, text="x", key=None)


async def test_no_answer_points_to_the_status():
    with pytest.raises(PluginError, match=r"bert did not answer .*kubectl llminference status bert"):
        await ask_model("http://127.0.0.1:9", "models", "bert", SPEC, text=None, key=None)


def test_a_key_is_the_first_word_of_its_file(tmp_path):
    (tmp_path / "key").write_text("first\nsecond\n")
    (tmp_path / "empty").write_text("\n")
    assert read_key(tmp_path / "key") == "first"
    assert read_key(None) is None
    for name in ("empty", "absent"):
        with pytest.raises(PluginError, match=name):
            read_key(tmp_path / name)

"""Conversations become prompts as Transformers renders them, and no template reads what it must not."""

import pytest
from transformers import PreTrainedTokenizerFast

from llmi_server.generation.chat_template import ChatTemplate, TemplateRefusedError
from llmi_testing.models import CHAT_TEMPLATE

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <b>you</b> & {{ 7 * 7 }}"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye\n  "},
]
TEMPLATES = {
    "ours": CHAT_TEMPLATE,
    "whitespace": "{%- for m in messages %}\n    {%- if m.role == 'user' %}\n[INST] {{ m.content | trim }} [/INST]\n"
    "    {%- else %}\n {{- m['content'] }}{{ eos_token }}\n    {%- endif %}\n{%- endfor %}",
    "json": "{{ messages | tojson(indent=2) }}{{ bos_token }}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{% endfor %}",
    "loop controls": "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "undefined": "{{ nothing }}{% if tools is defined %}x{% endif %}{{ messages[-1].content[:2] }}",
}


@pytest.mark.parametrize("source", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_conversation_is_rendered_as_transformers_does(source, tokenizer):
    expected = tokenizer.apply_chat_template(TALK, chat_template=source, add_generation_prompt=True, tokenize=False)
    assert ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}).render(TALK) == expected


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models  # noqa: PLC0415 - only here

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('Roles must alternate') }}", "Roles must alternate"),
        ("{{ messages.__class__.__mro__ }}", "must not do"),
        ("{{ 1 + 'a' }}", "TypeError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "too long a text"),
    ],
)
def test_a_conversation_that_is_refused_is_told_why(source, reason):
    with pytest.raises(TemplateRefusedError, match=reason):
        ChatTemplate(source, {}).render(TALK)


@pytest.mark.parametrize("source", ["{% for %}", "{{ unclosed", "x" * 1_000_001])
def test_what_is_no_template_is_refused_at_once(source):
    with pytest.raises(ValueError, match=r".+"):
        ChatTemplate(source, {})

"""Templates that loop or allocate without bound end their own process, and nothing else."""

import resource

import pytest

from llmi_server.errors import InvalidRequestError
from llmi_server.generation.template_client import TemplateClient

TALK = [{"role": "user", "content": "hello"}]
GOOD = "{% for m in messages %}{{ m.content }}{% endfor %}"
FIRST = "{% if messages[0].content == 'bad' %}"
BOMBS = {
    "an endless loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a long text": "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "a product": "{{ 'x' * 10000000000 }}",
    "a power": "{{ 9 ** 999999999 }}",
    "powers of powers": "{% set n = namespace(v=9) %}{% for a in range(99) %}{% set n.v = n.v ** 64 %}{% endfor %}",
    "squares of squares": "{% set n = namespace(v=9) %}{% for a in range(99) %}{% set n.v = n.v * n.v %}{% endfor %}",
    "doubling a text": "{% set n = namespace(v='x') %}{% for a in range(99) %}{% set n.v = n.v ~ n.v %}{% endfor %}",
    "doubling a list": "{% set n = namespace(v=[0]) %}{% for a in range(99) %}{% set n.v = n.v + n.v %}{% endfor %}",
    "a replacement": "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
    "a wide number": "{{ '{:1000000000}'.format(1) }}",
    "an old format": "{{ '%1000000000d' % 1 }}",
    "an indentation": "{{ messages | tojson(indent=3000000000) }}",
    "a wide block": "{{ 'a\\nb' | indent(3000000000) }}",
    "a wide line": "{{ 'x' | center(1000000000) }}",
    "a range": "{{ range(10000000000) | list }}",
    "a recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}


@pytest.fixture
def client():
    made = []

    def make(source):
        made.append(TemplateClient(source, {}))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS.keys())
def test_a_template_that_takes_too_much_is_a_client_error_and_the_next_conversation_works(client, source):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        template = client(FIRST + source + "{% endif %}" + GOOD)
    except ValueError:
        return  # Jinja computes what is constant when it compiles
    with pytest.raises(InvalidRequestError, match="chat template"):
        template.render([{"role": "user", "content": "bad"}])
    assert template.render(TALK) == "hello"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000, "not in this process"


def test_a_refusal_is_told_and_keeps_the_process(client):
    template = client(FIRST + "{{ raise_exception('Roles must alternate') }}{% endif %}" + GOOD)
    process = template._process
    with pytest.raises(InvalidRequestError, match="Roles must alternate"):
        template.render([{"role": "user", "content": "bad"}])
    assert template.render(TALK) == "hello"
    assert template._process is process


def test_what_is_no_template_is_refused_at_once(client):
    with pytest.raises(ValueError, match=r".+"):
        client("{% for %}")


def test_a_process_that_was_killed_is_started_anew(client):
    template = client(GOOD)
    template._process.end()
    with pytest.raises(InvalidRequestError):
        template.render(TALK)
    assert template.render(TALK) == "hello"


def test_a_conversation_near_the_largest_body_fits(client):
    talk = [{"role": "user", "content": "\U0001f600" * 450_000}]
    assert client(GOOD).render(talk) == talk[0]["content"]

"""Whatever the types allow is generated, so no field escapes the tests that generate specs."""

import random

from llmi_testing.specs import VALUES, fields, generate, is_valid


def _has(value, parts):
    if not parts:
        return True
    if isinstance(value, list):
        return any(_has(item, parts) for item in value)
    name = parts[0].removesuffix("[]")
    return isinstance(value, dict) and name in value and _has(value[name], parts[1:])


def test_every_field_of_the_spec_is_generated():
    source = random.Random(1)
    missing = set(fields())
    for _ in range(20_000):
        spec = generate(source)
        missing -= {path for path in missing if _has(spec, path.split("."))}
        if not missing:
            break
    assert not missing


def test_every_listed_value_is_of_a_field_that_exists():
    assert VALUES.keys() <= fields().keys()


def test_what_is_generated_is_valid():
    source = random.Random(2)
    assert all(is_valid(generate(source)) for _ in range(1000))

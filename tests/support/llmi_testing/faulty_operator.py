"""The operator with a fault in it: the pass over a resource called ``poison`` always raises. A program of tests.

No spec that admission takes can do that, and if one could, it would be mended: so the fault is put in.
"""

from typing import Any

from llmi_operator import __main__, reconcile

POISON = "poison"
_make_plan = reconcile.make_plan


def _raise_for_poison(resource: Any, *rest: Any) -> Any:
    if resource.name == POISON:
        raise RuntimeError("a fault of the test")
    return _make_plan(resource, *rest)


reconcile.make_plan = _raise_for_poison  # type: ignore[assignment]
if __name__ == "__main__":
    __main__.main()

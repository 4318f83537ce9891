"""YAML as a person would write it: texts of several lines as blocks."""

from __future__ import annotations

from typing import Any

import yaml

WIDTH = 120


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002
        """Indent lists below their key."""
        super().increase_indent(flow, False)  # noqa: FBT003 - the signature of PyYAML


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def write_yaml(head: str, *documents: Any) -> str:  # noqa: ANN401 - any plain data
    """Write documents below a comment."""
    bodies = (yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH) for one in documents)
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())
    return comment + "---\n".join(bodies)

"""YAML as plain data plus the line of every value, strict where PyYAML is lax.

PyYAML keeps the last of two equal keys silently, reads ``1e-4`` as text and turns the key ``on`` into ``True``. Here a
repeated key is a fault, numbers in exponent form are numbers, and a key is the text that was written.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Where a value stands: keys of mappings and positions in lists, outermost first."""

EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass
class Document:
    """One YAML document: its data, the 1-based line of every value, and every fault found while reading."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)


def dotted(path: Path) -> str:
    """``("model", "layers", 0)`` as ``model.layers.0``."""
    return ".".join(map(str, path))


def read(text: str) -> Document:
    """Read one YAML document; nothing is raised, every fault stands in ``faults`` with its line."""
    document = Document()
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _value(loader, node, (), document, open_nodes=frozenset())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.faults.append((mark.line + 1 if mark else 1, f"not valid YAML: {error.problem or error.context}"))
    except yaml.YAMLError as error:  # bytes that YAML forbids; these carry no line
        document.faults.append((1, f"not valid YAML: {' '.join(str(error).split())}"))
    finally:
        if loader is not None:
            loader.dispose()
    return document


def _value(loader: yaml.SafeLoader, node: yaml.Node, path: Path, document: Document, open_nodes: frozenset[int]) -> Any:
    line = node.start_mark.line + 1
    document.lines.setdefault(path, line)  # a mapping's entry already has its key's line
    if id(node) in open_nodes:
        document.faults.append((line, f"'{dotted(path)}' contains itself"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, document, open_nodes | {id(node)})
    if isinstance(node, yaml.SequenceNode):
        inside = open_nodes | {id(node)}
        return [_value(loader, item, (*path, i), document, inside) for i, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    if node.style is None and EXPONENT.fullmatch(node.value):
        return float(node.value)
    return _scalar(loader, node, path, document)


def _mapping(
    loader: yaml.SafeLoader, node: yaml.MappingNode, path: Path, document: Document, open_nodes: frozenset[int]
) -> dict[Hashable, Any]:
    values: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.faults.append((line, "a key must be one word, not a list or a mapping"))
            continue
        key = key_node.value
        inner = (*path, key)
        if key_node.tag == "tag:yaml.org,2002:merge":
            document.faults.append((line, "'<<' is not read: write the keys out, so that a file shows all it sets"))
        elif key in values:
            document.faults.append((line, f"key '{dotted(inner)}' stands twice; first at line {document.lines[inner]}"))
        else:
            document.lines[inner] = line
            values[key] = _value(loader, value_node, inner, document, open_nodes)
    return values


def _scalar(loader: yaml.SafeLoader, node: yaml.Node, path: Path, document: Document) -> Any:
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:  # an unknown tag, or a date such as 2024-13-45
        reason = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        document.faults.append((node.start_mark.line + 1, f"'{dotted(path)}' can't be read: {reason}"))
        return None

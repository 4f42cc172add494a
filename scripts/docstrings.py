"""What a module says of itself: its classes, functions and values with their docstrings, from the source."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FIELD = re.compile(r":(param (\w+)|return|raises? (\w+)):\s*(.*)")


@dataclass
class Documentation:
    """A docstring, taken apart: prose, `:param name:` and the rest (as the word to print and the text)."""

    prose: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Value:
    """A field of a class or value of a module. `default` is None if it has none; `text` is its docstring."""

    name: str
    type: str
    default: str | None
    text: str

    @property
    def is_constant(self) -> bool:
        """Whether it can't be anything but its default: what tells the members of a union apart."""
        return self.default is not None and self.type == f"Literal[{self.default}]"


@dataclass
class Signature:
    """A function or method. `heading` is the name with arguments and what it returns."""

    name: str
    heading: str
    arguments: list[str]
    documentation: Documentation


@dataclass
class Class:
    """A class with its fields and public methods, its own ones."""

    name: str
    documentation: Documentation
    values: list[Value]
    methods: list[Signature]
    text: str

    def undocumented(self) -> list[str]:
        """Fields that neither have a docstring nor are named in the class's, and methods without one."""
        fields = [
            value.name
            for value in self.values
            if not value.is_constant and not value.text and f"`{value.name}`" not in self.text
        ]
        return fields + [method.name for method in self.methods if not method.documentation.prose]


@dataclass
class Module:
    """A source file."""

    classes: dict[str, Class] = field(default_factory=dict)
    functions: dict[str, Signature] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)


def read_module(path: Path) -> Module:
    """Read a source file."""
    tree = ast.parse(path.read_text())
    module = Module(values={value.name: value for value in _values(tree.body)})
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            module.classes[node.name] = _class(node)
        elif isinstance(node, ast.FunctionDef):
            module.functions[node.name] = _signature(node)
    return module


def take_apart(docstring: str | None) -> Documentation:
    """A docstring with reStructuredText's fields."""
    prose: list[str] = []
    fields: list[tuple[re.Match[str], list[str]]] = []
    lines = prose
    for line in inspect.cleandoc(docstring or "").splitlines():
        match = _FIELD.match(line)
        if match is not None:
            lines = [match[4]]
            fields.append((match, lines))
        else:
            lines.append(line)
    found = Documentation("\n".join(prose).strip().splitlines())
    for match, lines in fields:
        text = " ".join(" ".join(lines).split())
        if match[2]:
            found.parameters[match[2]] = text
        else:
            found.answers.append(("returns" if match[1] == "return" else f"raises `{match[3]}`", text))
    return found


def _class(node: ast.ClassDef) -> Class:
    text = ast.get_docstring(node) or ""
    functions = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    constructor = next((item for item in functions if item.name == "__init__"), None)
    values = [value for value in _values(node.body) if not value.name.startswith("_")]
    methods = [_signature(item) for item in functions if not item.name.startswith("_")]
    documentation = take_apart(text)
    if constructor is not None and not documentation.parameters:
        documentation.parameters = take_apart(ast.get_docstring(constructor)).parameters
    return Class(node.name, documentation, values, methods, text)


def _signature(node: ast.FunctionDef) -> Signature:
    decorators = [ast.unparse(item) for item in node.decorator_list]
    names = [item.arg for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if any(word.endswith("property") for word in decorators):
        heading = f"{node.name}: {ast.unparse(node.returns) if node.returns else ''}"
    else:
        arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("cls, ")
        arguments = "" if arguments in ("self", "cls") else arguments
        heading = f"{node.name}({arguments})"
        heading += f" -> {ast.unparse(node.returns)}" if node.returns else ""
    own = [name for name in names if name not in ("self", "cls")]
    return Signature(node.name, heading, own, take_apart(ast.get_docstring(node)))


def _values(body: list[ast.stmt]) -> Iterator[Value]:
    """Assignments, each with the docstring behind it."""
    for number, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind, value = node.target.id, ast.unparse(node.annotation), node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, kind, value = node.targets[0].id, "", node.value
        else:
            continue
        yield Value(name, kind, None if value is None else ast.unparse(value), _text(body[number + 1 :]))


def _text(behind: list[ast.stmt]) -> str:
    match behind[:1]:
        case [ast.Expr(ast.Constant(str(text)))]:
            return " ".join(text.split())
    return ""

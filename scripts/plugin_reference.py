"""Writes docs/plugin-reference.md from the contract's docstrings: python -m scripts.plugin_reference"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.docstrings import Class, Documentation, Module, Signature, Value, read_module

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "core/tlstap"
OUTPUT = ROOT / "docs/plugin-reference.md"

HEAD = """\
# Plugin reference

Every name that a plugin can use. [The guide](plugins.md) shows how they are used. This file is written by
`python -m scripts.plugin_reference` from the docstrings; change those.

All names without a module before them are imported from `tlstap`: `from tlstap import DataProbe, hookimpl`.
What is not here is internal and may change without notice.
"""

SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "The plugin",
        "contract.py hookspecs.py errors.py sinks/escape.py",
        ("hookimpl", "requires_contract", "TlstapError", "escape"),
    ),
    (
        "Libraries",
        "library.py",
        ("Library", "Recognise", "VersionString"),
    ),
    (
        "Probes",
        "library.py",
        (
            "_Probe",
            "DataProbe",
            "FlushProbe",
            "PacketProbe",
            "ContentProbe",
            "HandshakeProbe",
            "BirthProbe",
            "FreeProbe",
            "ReferenceProbe",
            "RoleProbe",
            "DetailProbe",
        ),
    ),
    ("The moved length", "library.py", ("Returned", "OutPointer")),
    (
        "The length of a detail",
        "library.py",
        ("Terminated", "LengthArgument", "LengthOffset", "FixedLength"),
    ),
    (
        "Locators",
        "location.py errors.py discovery/elf.py discovery/symbols.py",
        ("Located", "NotLocatedError", "ElfImage", "Symbol"),
    ),
    (
        "Protocols",
        "protocols/base.py protocols/memory.py protocols/held.py",
        ("Protocol", "Decoder", "Channel", "Switch", "StreamBytes", "Allowance", "Held"),
    ),
    (
        "Body formats",
        "protocols/body_formats.py",
        ("BodyFormat", "BodyReader", "BodyOptions", "Part"),
    ),
    ("Output formats", "sinks/base.py", ("SinkType", "Sink", "OutputOptions")),
    (
        "Records",
        "records.py",
        (
            "Direction",
            "DecodedRecord",
            "Connection",
            "Opened",
            "Handshake",
            "Data",
            "Closed",
            "Lost",
            "ProtocolMessage",
            "Undecoded",
            "Missing",
            "Exchange",
            "Message",
            "UnknownHeader",
            "HeadSeen",
            "MessageEnded",
            "ExchangeEnded",
        ),
    ),
    (
        "Testing",
        "testing.py conformance/check.py conformance/report.py",
        ("Conversation", "decode", "messages", "undecoded", "check", "Report", "Check"),
    ),
    ("Tracing from Python", "tracer.py", ("Tracer",)),
)
"""Title, the modules that define the names, and the names."""

TITLES = {
    "_Probe": "Every probe",
    "Symbol": "Symbol (what `ElfImage.symbols` gives)",
    "Conversation": "tlstap.testing.Conversation",
    "decode": "tlstap.testing.decode",
    "messages": "tlstap.testing.messages",
    "undecoded": "tlstap.testing.undecoded",
    "check": "tlstap.conformance.check",
    "Report": "tlstap.conformance.Report",
    "Check": "tlstap.conformance.Check",
}
"""Headings of those that have no name of their own in `tlstap`."""

INTRODUCTIONS = {
    "Testing": "Decoders, without root or a server: `from tlstap.testing import Conversation`. Libraries:\n"
    "what `tlstap plugins check` does, from Python: `from tlstap.conformance import check`.",
    "Records": "What sinks get, and what decoders give out. In every record, `connection` is what it belongs"
    " to, `process`\nwho made the call, and `time_ns` when, in nanoseconds since the epoch.",
}
"""What holds for all names of a section."""

IMAGE_MEMBERS = (
    "path",
    "machine",
    "build_id",
    "needed",
    "soname",
    "sections",
    "section",
    "executable_segments",
    "symbols",
    "exported_addresses",
    "is_code",
    "read",
    "file_offset",
    "contains",
    "search",
    "error",
)
"""Of ElfImage, what locators need."""


def reference() -> str:
    """The whole document."""
    return "\n".join(_lines()).rstrip() + "\n"


def modules(names: str) -> list[Module]:
    """The modules of these names, separated by blanks."""
    return [read_module(PACKAGE / name) for name in names.split()]


def types(module: Module) -> list[Value]:
    """The module's names for types that occur in fields."""
    return [
        value
        for value in module.values.values()
        if value.default is not None and value.default.startswith(("Annotated[", "Literal["))
    ]


def _lines() -> Iterator[str]:
    hooks = read_module(PACKAGE / "hookspecs.py")
    yield HEAD
    yield "- [Hooks](#hooks)"
    for title, _, _ in SECTIONS:
        yield f"- [{title}](#{title.lower().replace(' ', '-')})"
    yield from ("- [Types](#types)", "", "## Hooks", "")
    yield "In the order in which they are called. A hook may leave out arguments that it does not need."
    for name, function in hooks.functions.items():
        if name.startswith("tlstap_"):
            yield from ("", f"### {name}", "", *_function(function))
    for title, files, names in SECTIONS:
        yield from ("", f"## {title}")
        if title in INTRODUCTIONS:
            yield from ("", INTRODUCTIONS[title])
        sources = modules(files)
        for name in names:
            yield from ("", f"### {TITLES.get(name, name)}", "")
            yield from _described(name, sources)
    yield from ("", "## Types", "", "Names in the tables above; they are not exported.", "")
    yield from ("| name | is | |", "|---|---|---|")
    for source in modules("library.py records.py"):
        for value in types(source):
            yield f"| `{value.name}` | {_code(value.default or '')} | {_cell(value.text)} |"


def _described(name: str, sources: list[Module]) -> Iterator[str]:
    for source in sources:
        if name in source.classes:
            yield from _class(source.classes[name])
            return
        if name in source.functions:
            yield from _function(source.functions[name])
            return
        if name in source.values:
            value = source.values[name]
            if value.default and not value.default.startswith("pluggy."):
                yield from ("```python", f"{name} = {value.default}", "```", "")
            yield value.text
            return
    raise LookupError(f"{name} is in none of its modules")


def _class(described: Class) -> Iterator[str]:
    members = IMAGE_MEMBERS if described.name == "ElfImage" else None
    yield from described.documentation.prose
    yield from _list(described.documentation)
    fields = [value for value in described.values if not value.is_constant]
    if fields and members is None:
        texts = any(value.text for value in fields)
        yield from ("", "| field | type | default | |" if texts else "| field | type | default |")
        yield "|---|---|---|---|" if texts else "|---|---|---|"
        for value in fields:
            default = "required" if value.default is None else _code(value.default)
            row = f"| `{value.name}` | {_code(value.type)} | {default} |"
            yield f"{row} {_cell(value.text)} |" if texts else row
    for method in described.methods:
        if members is None or method.name in members:
            yield from ("", f"**`{method.heading}`**", "", *_documentation(method.documentation))


def _function(function: Signature) -> Iterator[str]:
    yield from ("```python", f"def {function.heading}", "```", "", *_documentation(function.documentation))


def _documentation(documentation: Documentation) -> Iterator[str]:
    yield from documentation.prose
    yield from _list(documentation)


def _list(documentation: Documentation) -> Iterator[str]:
    if documentation.parameters or documentation.answers:
        yield ""
    yield from (f"- `{name}`: {text}" for name, text in documentation.parameters.items())
    yield from (f"- {word}: {text}" for word, text in documentation.answers)


def _code(text: str) -> str:
    """A type or value, for a cell of a table."""
    return _cell(f"`{text}`") if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the file."""
    OUTPUT.write_text(reference())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a plugin declares: a TLS library, how to recognise it, and the functions to probe.

A complete declaration of an OpenSSL-like library without any C:

    Library(
        name="wolfssl",
        title="wolfSSL",
        recognise=Recognise(symbols=("wolfSSL_read", "wolfSSL_write")),
        probes=(
            DataProbe(function="wolfSSL_read", direction="read"),
            DataProbe(function="wolfSSL_write", direction="write"),
            FreeProbe(function="wolfSSL_free"),
        ),
    )

Arguments count from 1, as in the C prototype; 0 stands for the return value.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_ARGUMENT = 6
"""Arguments beyond the sixth are on the stack on x86-64, where tlstap does not look."""

Argument = Annotated[int, Field(ge=1, le=MAX_ARGUMENT)]
"""Number of an argument in a register, counted from 1."""

ArgumentOrReturn = Annotated[int, Field(ge=0, le=MAX_ARGUMENT)]
"""Number of an argument, or 0 for the return value."""

Success = Literal["positive", "one", "zero"]
"""What a function returns when it succeeded, as a C int: more than 0, 1, or 0."""

Detail = Literal["sni", "alpn", "tls_version", "cipher"]
"""What can be told of a connection: server name, protocol agreed on by ALPN, TLS version, cipher suite."""

Offset = Annotated[int, Field(ge=0, le=4096)]
"""Bytes from the start of a struct."""

Symbol = Annotated[str, Field(min_length=1, max_length=255)]
"""Name of a function, as it stands in the symbol table."""

CIdentifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
"""Name of a C function of the snippet. All plugins' snippets become one program: begin it with the
library's name."""


class Declaration(BaseModel):
    """Base of what plugins declare: immutable, and a misspelt field is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Recognise(Declaration):
    """How an ELF image is known to contain the library. All conditions must hold."""

    symbols: tuple[Symbol, ...] = ()
    """Functions that the image defines, in .dynsym or .symtab."""
    strings: tuple[str, ...] = ()
    """Text that the image contains, any one of them. A trailing NUL may be written as \\0."""
    every_string: tuple[str, ...] = ()
    """Text that the image contains, all of them."""
    not_symbols: tuple[Symbol, ...] = ()
    """Functions that a look-alike defines and this library does not."""
    not_strings: tuple[str, ...] = ()
    """Text that only look-alikes contain."""

    @model_validator(mode="after")
    def _something_positive(self) -> Recognise:
        if not self.symbols and not self.strings and not self.every_string:
            raise ValueError("needs symbols or strings, or it would claim every file")
        return self


class VersionString(Declaration):
    """Where the library's version stands as text."""

    pattern: str
    """Regular expression over bytes (Latin-1), with one group: the version."""
    companion: str | None = None
    """Start of the file name of a library that the image needs (DT_NEEDED) and that holds the text instead
    ("libcrypto.so"); looked for in the same folder."""

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern.encode("latin-1")).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"needs exactly one group, has {groups}")
        return pattern


class _Probe(Declaration):
    """What all probes have in common."""

    function: Symbol
    """The function: a symbol, or, with `locate`, a name that the plugin's tlstap_locate knows."""
    fallbacks: tuple[Symbol, ...] = ()
    """Symbols to take instead, in this order, where `function` is absent. Same prototype."""
    locate: bool = False
    """Ask the plugin's tlstap_locate for the function, also if there is a symbol: that may name a copy that
    nobody calls, because the compiler inlined it."""
    only_from: bool = False
    """A call counts only if it returns to one of the places that the locator names
    (Located.return_addresses): where only some callers are meant, because another function was inlined into
    them."""
    when: tuple[Symbol, ...] = ()
    """Place the probe only in images that define all of these symbols."""
    unless: tuple[Symbol, ...] = ()
    """Don't place the probe if any of these functions was found (as symbol or by a locator)."""
    condition: CIdentifier | None = None
    """C function of the snippet, `static __always_inline bool NAME(struct pt_regs *ctx)`, asked on
    entry; when it says false, the call is ignored. Where several probes are on one function, at most one of
    them may accept a call, apart from those that are done on entry (free, reference, role)."""
    identify: CIdentifier | None = None
    """C function of the snippet, `static __always_inline u64 NAME(u64 handle)`: turns the handle into what
    tells the connection apart, where several handles stand for one connection. 0: the call is ignored."""

    @model_validator(mode="after")
    def _callers_are_located(self) -> _Probe:
        if self.only_from and not self.locate:
            raise ValueError("only_from needs locate, which names the callers")
        return self


class Returned(Declaration):
    """The moved length is the return value."""

    source: Literal["return"] = "return"


class OutPointer(Declaration):
    """The moved length is stored through a pointer argument."""

    source: Literal["out-pointer"] = "out-pointer"
    argument: Argument
    """The pointer."""
    size: Literal[4, 8] = 8
    """Bytes of the integer behind the pointer."""


class DataProbe(_Probe):
    """A function that reads or writes application data."""

    kind: Literal["data"] = "data"
    direction: Literal["read", "write"]
    """As the application sees it: "read" receives."""
    handle: Argument = 1
    """What stands for the connection: a pointer or a number that is its own among those of the process."""
    buffer: Argument = 2
    """Points to the bytes."""
    length: Argument | None = 3
    """The length asked for; an upper bound for what a call can have moved."""
    vector: bool = False
    """The buffer is an array of parts, at most 16: pointers, each with a length (4 bytes) in the word behind
    it. `length` is their number."""
    moved: Annotated[Returned | OutPointer, Field(discriminator="source")] = Returned()
    """Where the length really moved is found when the function returns."""
    success: Success = "positive"
    """Return value (a C int) of a call that moved data."""
    pending: Annotated[tuple[Annotated[int, Field(lt=0, ge=-(1 << 31))], ...], Field(max_length=2)] = ()
    """Return values of a call that took the bytes (at most 16 KiB) but could not send them yet. The next call
    that succeeds moves these bytes, whatever its own buffer is."""


class FlushProbe(_Probe):
    """A function that sends what the library has taken before. Bytes that were reported when they were taken
    are not reported again, if it calls other functions on the same handle for them; those that a call left
    pending are, if it succeeds (returns 0 or more)."""

    kind: Literal["flush"] = "flush"
    direction: Literal["read", "write"] = "write"
    """Of the bytes that it moves."""
    handle: Argument = 1
    """The connection's handle."""


class PacketProbe(_Probe):
    """A function that reads application data into an opaque packet. It returns the number of bytes; a
    ContentProbe's function shows them."""

    kind: Literal["packet"] = "packet"
    handle: Argument = 1
    """The connection's handle."""
    packet: Argument = 2
    """Points to where the packet's pointer is stored."""


class ContentProbe(_Probe):
    """A function that tells where the bytes of a packet are. The first call for a packet counts."""

    kind: Literal["content"] = "content"
    handle: Argument = 1
    """The packet."""
    datum: Argument = 2
    """Points to a pointer to the bytes and, behind it, their number (4 bytes); the function stores both."""


class HandshakeProbe(_Probe):
    """A function that performs the handshake, perhaps in several calls."""

    kind: Literal["handshake"] = "handshake"
    handle: Argument = 1
    """The connection's handle."""
    success: Success = "one"
    """Return value (a C int) of the call that completed the handshake."""


class BirthProbe(_Probe):
    """A function that makes a connection's handle, or makes it new again."""

    kind: Literal["birth"] = "birth"
    handle: ArgumentOrReturn = 0
    """0: the function returns a new handle. An argument: it makes that handle new, perhaps again, in memory
    that is the caller's; if the handle is known, this counts as a birth only if it has moved data or begun a
    handshake."""
    out_pointer: Argument | None = None
    """If given, the function stores the new handle through this pointer and returns 0."""
    role: Literal["client", "server"] | None = None
    """Which end of the connection the new handle is, if that is known from its birth."""

    @model_validator(mode="after")
    def _one_place(self) -> BirthProbe:
        if self.handle and (self.out_pointer or self.role):
            raise ValueError("out_pointer and role are for a new handle, not for one that is an argument")
        return self


class FreeProbe(_Probe):
    """A function that ends a connection's handle."""

    kind: Literal["free"] = "free"
    handle: Argument = 1
    """The connection's handle."""


class ReferenceProbe(_Probe):
    """A function that takes one more reference to a handle, so that the next free only gives it back."""

    kind: Literal["reference"] = "reference"
    handle: Argument = 1
    """The connection's handle."""


class RoleProbe(_Probe):
    """A function whose call tells which end of the connection this is."""

    kind: Literal["role"] = "role"
    handle: Argument = 1
    """The connection's handle."""
    role: Literal["client", "server"]
    """Which end it is."""


class Terminated(Declaration):
    """A NUL ends the text."""

    source: Literal["terminated"] = "terminated"


class LengthArgument(Declaration):
    """An argument is the length, or points to it (4 bytes)."""

    source: Literal["argument"] = "argument"
    argument: Argument
    """The length, or the pointer to it."""
    pointer: bool = False
    """Whether it is a pointer."""


class LengthOffset(Declaration):
    """The length (4 bytes) is in the struct of `pointer_offset`, at another offset."""

    source: Literal["offset"] = "offset"
    offset: Offset
    """Where in the struct the length is."""


class FixedLength(Declaration):
    """The value always has so many bytes."""

    source: Literal["fixed"] = "fixed"
    size: Annotated[int, Field(ge=1, le=255)]
    """Bytes."""


TextLength = Annotated[
    Terminated | LengthArgument | LengthOffset | FixedLength, Field(discriminator="source")
]
"""How long a value is."""


class DetailProbe(_Probe):
    """A function that the application calls anyway and that tells something about the connection.

    The value reaches the plugin's tlstap_describe as bytes (at most 255); without that hook it is taken as
    UTF-8 text. It is read when the function returns.
    """

    kind: Literal["detail"] = "detail"
    details: Annotated[tuple[Detail, ...], Field(min_length=1)]
    """What the value tells."""
    handle: Argument = 1
    """The connection's handle."""
    value: ArgumentOrReturn = 0
    """The value's address: an argument, or 0 for a returned pointer."""
    number: bool = False
    """The value is no address but a number, which tlstap_describe gets as 4 bytes, little-endian."""
    pointer_offset: Offset | None = None
    """If given, the address is that of a struct, and at this offset in it is the value's own address."""
    length: TextLength = Terminated()
    """Where the value's length is."""
    success: Success | None = None
    """Return value (a C int) of a call that has told something; None: any."""


Probe = Annotated[
    DataProbe
    | FlushProbe
    | PacketProbe
    | ContentProbe
    | HandshakeProbe
    | BirthProbe
    | FreeProbe
    | ReferenceProbe
    | RoleProbe
    | DetailProbe,
    Field(discriminator="kind"),
]
"""A function to probe, and what it does."""


class Library(Declaration):
    """One TLS library."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=32)]
    """Short and lower-case: what `--lib` takes and events carry."""
    title: str
    """The name as its makers write it."""
    recognise: Recognise
    """How an image that contains the library is known."""
    embedded: Recognise | None = None
    """How an image that carries the library without its symbols is known. It then needs a locator."""
    version: VersionString | None = None
    """Where the version stands; without it, it is unknown."""
    sonames: tuple[str, ...] = ()
    """Starts of file names under which ldconfig may know the library ("libssl.so"), so that it is probed
    before anybody runs it."""
    probes: tuple[Probe, ...]
    """The functions to probe; at least a DataProbe for each direction."""
    snippet: str | None = None
    """Path of a C file (.h) in the plugin's package with the functions that probes name as
    `condition` and `identify`."""
    locator_version: int = 1
    """Raise it when tlstap_locate changes, so that cached results are not used."""
    stands_in_for: str | None = None
    """Name of another library of the same plugin: this one is probed only if that one's own functions to read
    or write can't be found in some file, and what it captures is that library's."""

    @model_validator(mode="after")
    def _both_directions(self) -> Library:
        directions = {probe.direction for probe in self.probes if isinstance(probe, DataProbe)}
        if directions != {"read", "write"}:
            raise ValueError("needs a data probe for each direction, read and write")
        if self.snippet is None and any(probe.condition or probe.identify for probe in self.probes):
            raise ValueError("a probe names a C function, but there is no snippet to define it")
        if any(isinstance(probe, PacketProbe) for probe in self.probes) != any(
            isinstance(probe, ContentProbe) for probe in self.probes
        ):
            raise ValueError("packet probes and content probes need one another")
        return self

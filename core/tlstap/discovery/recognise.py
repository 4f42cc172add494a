"""Which TLS libraries an image contains, and of which version."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from tlstap.discovery.elf import ElfImage
from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.library import Library, Recognise

OpenBeside = Callable[[str], int]
"""Opens a file in the same folder as the image, by its name; raises OSError."""

_LONGEST_VERSION = 256
_UNPRINTABLE = re.compile(r"[^ -~]")

_MARKERS: tuple[tuple[str, tuple[str, ...], tuple[bytes, ...]], ...] = (
    ("gnutls", ("gnutls_record_send", "gnutls_record_recv"), ()),
    ("nss", ("SSL_ImportFD",), ()),
    ("wolfssl", ("wolfSSL_read",), ()),
    ("mbedtls", ("mbedtls_ssl_read",), ()),
    ("s2n", ("s2n_negotiate",), ()),
    ("s2n", (), (b"s2n_handshake_io.c",)),
    ("aws-lc", (), (b"ssl_lib.cc\0", b"AWS-LC")),
    ("boringssl", (), (b"ssl_lib.cc\0",)),
    ("rustls", (), (b"/rustls-", b"tls13 ")),
    ("go", (), (b"crypto/tls.(*Conn)",)),
)
"""Other TLS code and its marks, all of which must be there: name, functions, texts. The first of
aws-lc and boringssl that fits is meant."""


def recognise(image: ElfImage, libraries: Collection[Library]) -> tuple[list[Library], tuple[str, ...]]:
    """The libraries that an image contains, and the names of TLS code that none of them stands for.

    Functions are looked up in .dynsym and .symtab only. Most images contain none of the functions, which
    takes a fraction of a millisecond to see.
    """
    declared = {library.name for library in libraries}
    markers = [marker for marker in _MARKERS if marker[0] not in declared]
    ways = [(library, way) for library in libraries for way in (library.recognise, library.embedded) if way]
    names = {name for _, way in ways for name in (*way.symbols, *way.not_symbols)}
    names.update(name for _, functions, _ in markers for name in functions)
    lookup = image.find_symbols(names, debug=False)
    defined = lookup.found.keys() | lookup.ambiguous.keys()

    fitting = [
        (library, way)
        for library, way in ways
        if defined.issuperset(way.symbols) and defined.isdisjoint(way.not_symbols)
    ]
    possible = [marks for _, functions, marks in markers if marks and defined.issuperset(functions)]
    present = _find_texts(image, [texts for _, way in fitting for texts in _texts(way)] + possible)

    found = list(dict.fromkeys(library for library, way in fitting if _texts_fit(way, present)))
    others = [
        name
        for name, functions, marks in markers
        if defined.issuperset(functions) and present.issuperset(marks)
    ]
    if "aws-lc" in others or "aws-lc" in declared:
        others = [name for name in others if name != "boringssl"]
    return found, tuple(dict.fromkeys(others))


def _texts(way: Recognise) -> list[tuple[bytes, ...]]:
    """Groups of texts, of which only the first is needed to know that the others don't matter."""
    needed, *others = (
        tuple(text.encode() for text in texts) for texts in (way.every_string, way.strings, way.not_strings)
    )
    rest = [text for texts in others for text in texts]
    return [(*needed, *rest)] if needed else [(text,) for text in rest]


def _find_texts(image: ElfImage, groups: Sequence[tuple[bytes, ...]]) -> set[bytes]:
    """Which texts are there; where the first of a group is not, the others are not looked for.

    Most files have none of the first ones, and each text that is looked for takes time.
    """
    first = image.contains(*{group[0] for group in groups})
    return first | image.contains(*{text for group in groups if group[0] in first for text in group[1:]})


def _texts_fit(way: Recognise, present: set[bytes]) -> bool:
    wanted = {text.encode() for text in way.strings}
    needed = {text.encode() for text in way.every_string}
    unwanted = {text.encode() for text in way.not_strings}
    return (not wanted or bool(wanted & present)) and needed <= present and not unwanted & present


def find_version(image: ElfImage, library: Library, open_beside: OpenBeside) -> str | None:
    """The library's version: as text in the image, else in the companion that the image needs."""
    declared = library.version
    if declared is None:
        return None
    pattern = re.compile(declared.pattern.encode("latin-1"))
    version = _version_in(image, pattern)
    if version is not None or declared.companion is None:
        return version
    for name in companions(image, library):
        try:
            fd = open_beside(name)
        except OSError:
            continue
        try:
            with ElfImage.adopt(fd, name) as companion:
                version = _version_in(companion, pattern)
        except ElfError:
            continue
        if version is not None:
            return version
    return None


def companions(image: ElfImage, library: Library) -> Sequence[str]:
    """File names of the needed libraries that may hold the version."""
    start = library.version.companion if library.version else None
    return [name for name in image.needed if name.startswith(start)] if start else []


def _version_in(image: ElfImage, pattern: re.Pattern[bytes]) -> str | None:
    match = image.search(pattern, _LONGEST_VERSION)
    if match is None or match[1] is None:
        return None
    return _UNPRINTABLE.sub("?", match[1].decode("latin-1"))[:64] or None

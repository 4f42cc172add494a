"""The signature of OpenSSL on aarch64, on code that is put together word by word."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest
from tests.unit.discovery.elves import AARCH64, BASE, elf_image

from tlstap.discovery.elf import ElfImage
from tlstap.errors import NotLocatedError
from tlstap.location import Located
from tlstap.plugins.openssl.locate import locate

# Before paciasp: stp x29, x30, [sp, #-48]!, and what keeps x0 to x4 over calls. After: the reverse.
PROLOGUE = [0xD503233F, 0xA9BD7BFD, 0xA90153F3, 0xA9025BF5, 0xAA0003F3, 0xAA0103F4, 0xAA0203F5, 0xAA0303F6]
EPILOGUE = [0xA94153F3, 0xA9425BF5, 0xA8C37BFD, 0xD50323BF, 0xD65F03C0]
RESTORED = [0xAA1303E0, 0xAA1403E1, 0xAA1503E2, 0xAA1603E3]  # mov x0, x19, to mov x3, x22
METHOD = [0xF9400268, 0xD63F0100]  # ldr x8, [x19]; blr x8
MINUS_ONE, ZERO = 0x12800000, 0x52800000  # mov w0, #-1; mov w0, #0
RETURN = 0xD65F03C0


@dataclass
class Assembler:
    """Code at BASE, with calls of functions by name, and text behind it."""

    words: list[int] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    calls: list[tuple[int, str]] = field(default_factory=list)
    texts: list[tuple[int, int, str]] = field(default_factory=list)

    def function(self, name: str, *parts: list[int] | tuple[str, ...]) -> None:
        """A function of words, and of ("call", name), ("error", name, line) and ("text", register, text)."""
        self.labels[name] = len(self.words)
        for part in parts:
            match part:
                case list():
                    self.words += part
                case ("call", str(target)):
                    self.calls.append((len(self.words), target))
                    self.words.append(0)
                case ("error", str(reporter), str(line)):
                    self._error(reporter, int(line))
        self.words += [RETURN] if not parts or parts[-1] != EPILOGUE else []

    def _error(self, name: str, line: int) -> None:
        """ERR_set_debug(file, line, name)."""
        for register, text in ((2, name), (0, "ssl/ssl_lib.c")):
            self.texts.append((len(self.words), register, text))
            self.words += [0, 0]
        self.words.append(0x52800000 | line << 5 | 1)  # mov w1, line
        self.calls.append((len(self.words), "ERR_set_debug"))
        self.words.append(0)

    def image(self) -> tuple[ElfImage, dict[str, int]]:
        texts = sorted({text for _, _, text in self.texts})
        self.words += [0] * (-len(self.words) % 4)
        start = BASE + 4 * len(self.words)
        addresses = {
            text: start + sum(len(one) + 1 for one in texts[:index]) for index, text in enumerate(texts)
        }
        for index, register, text in self.texts:
            self.words[index : index + 2] = _make(addresses[text], BASE + 4 * index, register)
        for index, target in self.calls:
            self.words[index] = 0x94000000 | (self.labels[target] - index) & 0x3FFFFFF
        code = struct.pack(f"<{len(self.words)}I", *self.words)
        data = b"".join(text.encode() + b"\0" for text in texts)
        places = {name: BASE + 4 * index for name, index in self.labels.items()}
        return elf_image(code, AARCH64, data=data), places


def _make(address: int, place: int, register: int) -> list[int]:
    """adrp and add."""
    pages = (address >> 12) - (place >> 12)
    adrp = 0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5 | register
    return [adrp, 0x91000000 | (address & 0xFFF) << 10 | register << 5 | register]


def internal(name: str, moved: int = 3) -> list[list[int] | tuple[str, ...]]:
    """Reports errors by its name, and hands on its arguments; `moved` is the last, counted from 0."""
    kept = [*PROLOGUE[:-1], 0xAA0003F6 | moved << 16]  # mov x22, the last one
    return [
        kept,
        ("call", "elsewhere"),
        [0xB4000180],  # cbz x0, to the error
        [*RESTORED, *METHOD],
        EPILOGUE,
        ("error", name, "40"),
        [MINUS_ONE],
        EPILOGUE,
    ]


def library(*, moved: int = 3, flags: bool = False, method: list[int] | None = None) -> Assembler:
    """SSL_read and SSL_write with their internal functions, and others that report errors."""
    code = Assembler()
    code.function("ERR_set_debug")
    code.function("elsewhere")
    code.function(
        "others", PROLOGUE, *(("error", "SSL_other", str(line)) for line in range(10, 18)), EPILOGUE
    )
    parts = internal("ssl_read_internal")
    if method is not None:
        parts[3] = method
    code.function("ssl_read_internal", *parts)
    code.function("ssl_write_internal", *internal("ssl_write_internal", moved))
    for name, target, line in (
        ("SSL_read", "ssl_read_internal", "50"),
        ("SSL_write", "ssl_write_internal", "80"),
    ):
        third = [0x52800003] if flags and name == "SSL_write" else [0x910083E3]  # mov w3, #0; add x3, sp, #32
        code.function(name, PROLOGUE, third, ("call", target), ("error", name, line), [MINUS_ONE], EPILOGUE)
    uses = [("call", name) for name in ("SSL_read", "SSL_write", "others")]
    code.function("main", PROLOGUE, *uses, EPILOGUE)
    code.function("last")
    code.function("start", ("call", "main"), ("call", "last"))
    return code


NAMES = ("ssl_read_internal", "ssl_write_internal", "ssl_write_internal_flags", "SSL_read", "SSL_write")


def located(code: Assembler) -> tuple[dict[str, int], dict[str, str], dict[str, int]]:
    """What is found, why the rest is not, and what is there."""
    found: dict[str, int] = {}
    reasons: dict[str, str] = {}
    image, places = code.image()
    with image:
        for name in NAMES:
            try:
                answer = locate(image, name)
            except NotLocatedError as error:
                reasons[name] = str(error)
            else:
                assert isinstance(answer, Located) and answer.by_signature
                found[name] = answer.address
    return found, reasons, places


def test_the_functions() -> None:
    found, reasons, places = located(library())
    assert found == {name: places[name] for name in NAMES if not name.endswith("flags")}, reasons


def test_flags() -> None:
    found, reasons, places = located(library(moved=4, flags=True))
    assert found.pop("ssl_write_internal_flags", None) == places["ssl_write_internal"], reasons
    assert found == {name: places[name] for name in ("ssl_read_internal", "SSL_read", "SSL_write")}


def test_flags_that_only_the_caller_passes() -> None:
    _, reasons, _ = located(library(flags=True))
    assert "disagree" in reasons["ssl_write_internal"]


@pytest.mark.parametrize(
    "method",
    [
        [*RESTORED[:3], 0xAA1303E3, *METHOD],  # mov x3, x19
        [*RESTORED, 0xF9400268, 0xD503201F],  # ldr x8, [x19]; nop
        [0xAA1403E0, *RESTORED[1:], *METHOD],  # mov x0, x20
        [RESTORED[0], 0xAA1503E1, *RESTORED[2:], *METHOD],  # mov x1, x21
    ],
)
def test_what_is_not_handed_on(method: list[int]) -> None:
    found, reasons, _ = located(library(method=method))
    assert "does not show without doubt" in reasons["ssl_read_internal"]
    assert "ssl_write_internal" in found

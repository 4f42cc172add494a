"""What was found in an ELF image: plain data, for the cache and for `tlstap inspect --json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Means = Literal["dynsym", "symtab", "gnu_debugdata", "debug file", "locator", "signature", "user"]
"""How a function was found: by a symbol of that table; by the plugin's locator, from symbols or by what the
code looks like (signature); or because the user gave its address."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FoundFunction(_Model):
    """A function that probes name. Addresses are ELF virtual addresses."""

    name: str
    address: int
    means: Means
    probe_address: int
    """Where a probe goes: `address`, or behind a leading endbr64."""
    probe_offset: int
    """The same place as an offset in the file."""
    first_instruction: str
    """The instruction there."""
    emulated: bool
    """The kernel emulates that instruction, so a probe costs no single step (known for x86-64 only)."""
    return_addresses: tuple[int, ...] = ()
    """If there are any: only calls that return to one of these are meant."""

    @property
    def on_trial(self) -> bool:
        """Whether a probe there must prove itself before it is believed."""
        return self.means in ("signature", "user")


class MissingFunction(_Model):
    """A function that probes name and that is not there, or not without doubt."""

    name: str
    reason: str


class FoundLibrary(_Model):
    """A TLS library in an image. `name` is the declaration's."""

    name: str
    version: str | None
    functions: tuple[FoundFunction, ...]
    missing: tuple[MissingFunction, ...]

    def function(self, name: str) -> FoundFunction | None:
        """The function of that name, if it was found."""
        return next((function for function in self.functions if function.name == name), None)


class ImageReport(_Model):
    """All that discovery says of an image."""

    machine: str
    build_id: str | None
    libraries: tuple[FoundLibrary, ...] = ()
    unsupported: tuple[str, ...] = ()
    """TLS code that is there and that no loaded plugin supports, by name."""
    problems: tuple[str, ...] = ()
    """Why something that is there is not probed, in whole sentences."""
    failed: tuple[str, ...] = ()
    """Libraries, by name, that are left out because their plugin did something wrong."""

"""Finds, for each TLS library in an image, the functions that its probes name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from tlstap.discovery.asking import located
from tlstap.discovery.disassembly import first_instruction
from tlstap.discovery.given import GivenAddresses
from tlstap.discovery.recognise import OpenBeside, find_version, recognise
from tlstap.discovery.report import FoundFunction, FoundLibrary, ImageReport, Means, MissingFunction
from tlstap.errors import ElfError, NotLocatedError, PluginError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.discovery.symbols import SymbolLookup
    from tlstap.library import Library
    from tlstap.location import Located

Locator = Callable[["ElfImage", "Library", str], "Located | int | None"]
"""Asks the plugin that declared the library for the address of a function. A PluginError says what is wrong
with the plugin: then the library is none of this image's."""

NONE_GIVEN = GivenAddresses()


def analyse(
    image: ElfImage,
    libraries: Collection[Library],
    locator: Locator,
    open_beside: OpenBeside,
    given: GivenAddresses = NONE_GIVEN,
) -> ImageReport:
    """Everything that can be said of an image, reading nothing but it and its companions.

    :raise ElfError: if the image is malformed. A locator's failure is a problem in the report, and its
        library is left out.
    :raise UsageError: if an address that the user gave for it can't be one.
    """
    recognised, unsupported = recognise(image, libraries)
    addresses = given.of(image.identity.device, image.identity.inode)
    if addresses:
        recognised = given.meant(image, recognised, libraries)
    problems: list[str] = []
    found = []
    failed = []
    for library in recognised:
        try:
            found.append(_analyse_library(image, library, locator, open_beside, addresses, problems))
        except PluginError as error:
            failed.append(library.name)
            problems.append(str(error))
    return ImageReport(
        machine=image.machine,
        build_id=image.build_id,
        libraries=tuple(_without_rivals(found, problems)),
        unsupported=unsupported,
        problems=tuple(problems),
        failed=tuple(failed),
    )


def function_names(library: Library) -> dict[str, bool]:
    """The functions that a library's probes name, in order, and whether a locator is to be asked."""
    names: dict[str, bool] = {}
    for probe in library.probes:
        for name in (probe.function, *probe.fallbacks, *probe.when, *probe.unless):
            names.setdefault(name, False)
        names[probe.function] |= probe.locate
    return names


def _analyse_library(
    image: ElfImage,
    library: Library,
    locator: Locator,
    open_beside: OpenBeside,
    addresses: Mapping[str, int],
    problems: list[str],
) -> FoundLibrary:
    names = function_names(library)
    lookup = image.find_symbols(names)
    functions = []
    missing = []
    for name, ask in names.items():
        try:
            if name in addresses:
                found = _Found(addresses[name], "user")
            else:
                found = _find(image, library, name, lookup, locator if ask else None)
            functions.append(_function(image, name, found))
        except _NotFoundError as error:
            missing.append(MissingFunction(name=name, reason=str(error)))
        except ElfError as error:
            missing.append(MissingFunction(name=name, reason=str(error)))
            problems.append(f"{library.name}: {name}: {error}")
    version = find_version(image, library, open_beside)
    return FoundLibrary(
        name=library.name, version=version, functions=tuple(functions), missing=tuple(missing)
    )


class _NotFoundError(Exception):
    pass


class _Found(NamedTuple):
    address: int
    means: Means
    return_addresses: tuple[int, ...] = ()


def _function(image: ElfImage, name: str, found: _Found) -> FoundFunction:
    instruction = first_instruction(image, found.address)
    offset = image.file_offset(instruction.address)
    if offset is None:
        raise _NotFoundError(f"{instruction.address:#x} is not in the file")
    return FoundFunction(
        name=name,
        address=found.address,
        means=found.means,
        probe_address=instruction.address,
        probe_offset=offset,
        first_instruction=instruction.text,
        emulated=instruction.emulated,
        return_addresses=found.return_addresses,
    )


def _find(
    image: ElfImage, library: Library, name: str, lookup: SymbolLookup, locator: Locator | None
) -> _Found:
    """A locator, where there is one, decides also about symbols: inlined, one may be of no use."""
    symbol = lookup.found.get(name)
    if locator is not None:
        located = _ask(image, library, name, locator)
        if located is not None:
            means: Means = "signature" if located.by_signature else "locator"
            if symbol and symbol.address == located.address:
                means = symbol.table
            return _Found(located.address, means, located.return_addresses)
        if symbol is not None:
            raise _NotFoundError(
                f"{library.name}'s locator does not vouch for the symbol at {symbol.address:#x}"
            )
    elif symbol is not None:
        return _Found(symbol.address, symbol.table)
    if name in lookup.ambiguous:
        addresses = ", ".join(f"{address:#x}" for address in lookup.ambiguous[name][:4])
        raise _NotFoundError(f"several functions have this name ({addresses})")
    raise _NotFoundError(
        "no symbol" if locator is None else f"no symbol, and {library.name}'s locator did not find it"
    )


def _ask(image: ElfImage, library: Library, name: str, locator: Locator) -> Located | None:
    """What a locator answers, if that is an address that can be a function's."""
    try:
        return located(locator(image, library, name), image, name)
    except NotLocatedError as error:
        raise _NotFoundError(" ".join(str(error).split())) from None
    except (ElfError, PluginError):
        raise
    except Exception as error:  # a plugin's mistake must not end the scan
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise PluginError(f"{library.name}: {name}: the locator failed: {reason}") from error


def _without_rivals(libraries: list[FoundLibrary], problems: list[str]) -> list[FoundLibrary]:
    """Leave out libraries that claim the same functions: whose they are is not for us to guess."""
    rivals: set[str] = set()
    for one, other in combinations(libraries, 2):
        addresses = {function.address for function in other.functions}
        shared = [function.name for function in one.functions if function.address in addresses]
        if shared:
            rivals.update((one.name, other.name))
            problems.append(
                f"{one.name} and {other.name} both claim {', '.join(shared[:3])}: neither is probed; "
                f"leave out the plugin that is wrong with --no-plugin"
            )
    return [library for library in libraries if library.name not in rivals]

"""A third-party plugin that finds the functions of programs/trial.c "by signature", rightly or not.

It calls trial_read located_read, and so on: no symbol has that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

from tlstap.discovery.call_arguments import read_code
from tlstap.discovery.elf import ElfImage
from tlstap.discovery.functions import Functions
from tlstap.hookspecs import hookimpl
from tlstap.library import DataProbe, Library, Recognise
from tlstap.location import Located
from tlstap.registry import Registry

_chosen: list[Library] = []


def library(read: str = "located_read", write: str = "located_write", only_from: bool = False) -> Library:
    """A library whose functions are taken for those that read and write."""
    return Library(
        name="trial",
        title="Trial",
        recognise=Recognise(symbols=("trial_library_of_tlstap_tests",)),
        probes=(
            DataProbe(function=read, locate=True, direction="read", only_from=only_from),
            DataProbe(function=write, locate=True, direction="write"),
        ),
    )


def two_readers(read: str, another: str) -> Library:
    """The same with two functions that read."""
    one = library(read)
    return one.model_copy(
        update={"probes": (DataProbe(function=another, locate=True, direction="read"), *one.probes)}
    )


@hookimpl
def tlstap_libraries() -> Sequence[Library]:
    return _chosen


@hookimpl
def tlstap_locate(image: ElfImage, library: Library, function: str) -> Located:
    name = function.replace("located", "trial")
    symbols = image.symbols([name, "trial_take"])
    address = symbols[name].address
    if name != "trial_peek":
        return Located(address, by_signature=True)
    functions = Functions(image, [address])
    taker = functions.bounds(symbols["trial_take"].address)
    assert taker is not None
    code = read_code(image, functions, taker)
    returns = tuple(code.instructions[call].next for call in code.calls_of(address))
    return Located(address, by_signature=True, return_addresses=returns)


def registry(chosen: Library) -> Registry:
    """The plugins with this library among them, as if a distribution had brought it."""
    _chosen[:] = [chosen]
    return Registry.load(third_party=[EntryPoint("trial", __name__, "tlstap")])

"""Asks a third party's locator where a function is, and bears whatever it does: it may raise, answer
nonsense, or never come back.

A locator runs in a thread of its own. What it does in Python ends with an exception that is put into that
thread. A call that never returns to Python can't be ended so (a sleep, a lock, another library's code): its
thread is left behind. If it also keeps the interpreter to itself, as a regular expression does, nothing here
helps.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tlstap.errors import ElfError, NotLocatedError, PluginError
from tlstap.location import Located

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage
    from tlstap.library import Library

SECONDS = 30.0
"""For all functions of a library in one file."""
GRACE_SECONDS = 2.0
MAX_TIMEOUTS = 3
"""Files in which a library's locator may take too long; then it is not asked again."""


class Asking:
    """Asks locators, and knows how long each took."""

    def __init__(self) -> None:
        self._spent: WeakKeyDictionary[ElfImage, dict[str, float]] = WeakKeyDictionary()
        self._timeouts: Counter[str] = Counter()

    def ask(
        self, call: Callable[[], object], image: ElfImage, library: Library, function: str
    ) -> Located | None:
        """What the locator answers, if that is an address that can be a function's.

        :param call: the locator, with its arguments.
        :raises NotLocatedError: it says why it did not find the function.
        :raises ElfError: the image is malformed.
        :raises PluginError: it did something wrong.
        """
        if self._timeouts[library.name] >= MAX_TIMEOUTS:
            raise PluginError(f"tlstap_locate took too long in {MAX_TIMEOUTS} files and is not asked again")
        spent = self._spent.setdefault(image, {})
        before, began = spent.get(library.name, 0.0), time.monotonic()
        try:
            answer = _bounded(call, SECONDS - before)
        except TimeoutError:
            self._timeouts[library.name] += 1
            raise PluginError(f"tlstap_locate took more than {SECONDS:g} s, at {function}") from None
        spent[library.name] = before + time.monotonic() - began
        return located(answer, image, function)


def located(answer: object, image: ElfImage, function: str) -> Located | None:
    """A locator's answer, if it can be right.

    :raises PluginError: it is nonsense.
    """
    if answer is None:
        return None
    found = answer if isinstance(answer, Located) else Located(answer)  # type: ignore[arg-type]
    if not isinstance(found.return_addresses, tuple):
        raise PluginError(
            f"tlstap_locate answered {found.return_addresses!r:.40} for {function}, which is no tuple"
        )
    for address in (found.address, *found.return_addresses):
        if isinstance(address, bool) or not isinstance(address, int):
            raise PluginError(f"tlstap_locate answered {address!r:.40} for {function}, which is no address")
        if not image.is_code(address):
            what = f"tlstap_locate answered {hex(address):.40} for {function}"
            raise PluginError(f"{what}, which is not in an executable segment")
    return found


def _bounded(call: Callable[[], object], seconds: float) -> object:
    """Call something in a thread of its own.

    :raises TimeoutError: it took longer.
    :raises NotLocatedError: see `Asking.ask`; also ElfError, and PluginError for anything else.
    """
    outcome: list[tuple[object, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, name="tlstap-locate", daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if thread.is_alive():
        _end(thread)
        raise TimeoutError
    ((answer, error),) = outcome
    if error is None:
        return answer
    if isinstance(error, (NotLocatedError, ElfError)):
        raise error
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    raise PluginError(f"tlstap_locate raised {reason}") from error


def _end(thread: threading.Thread) -> None:
    """End a thread as far as that is possible. SystemExit is what threads end with in silence."""
    until = time.monotonic() + GRACE_SECONDS
    while thread.is_alive() and time.monotonic() < until:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )
        thread.join(0.1)

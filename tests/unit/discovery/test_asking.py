"""Third parties' locators: what they answer, and those that never do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.discovery.elves import BASE, elf_image

from tlstap.discovery import asking
from tlstap.discovery.asking import Asking
from tlstap.discovery.elf import ElfImage
from tlstap.errors import ElfError, NotLocatedError, PluginError
from tlstap.library import DataProbe, Library, Recognise
from tlstap.location import Located

LIBRARY = Library(
    name="mine",
    title="Mine",
    recognise=Recognise(symbols=("my_read",)),
    probes=(
        DataProbe(function="my_read", locate=True, direction="read"),
        DataProbe(function="my_write", locate=True, direction="write"),
    ),
)
OTHER = LIBRARY.model_copy(update={"name": "other"})


@pytest.fixture
def image() -> Iterator[ElfImage]:
    with elf_image(b"\xc3" * 32) as made:
        yield made


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience ends soon."""
    monkeypatch.setattr(asking, "SECONDS", 0.2)


def answering(answer: object) -> Callable[[], object]:
    def call() -> object:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return call


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, None),
        (BASE, Located(BASE)),
        (Located(BASE, True, (BASE + 1,)), Located(BASE, True, (BASE + 1,))),
    ],
)
def test_an_answer(image: ElfImage, answer: object, expected: Located | None) -> None:
    assert Asking().ask(answering(answer), image, LIBRARY, "my_read") == expected


@pytest.mark.parametrize("error", [NotLocatedError("at step three"), ElfError("it is cut off")])
def test_what_a_locator_may_raise(image: ElfImage, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        Asking().ask(answering(error), image, LIBRARY, "my_read")
    assert caught.value is error


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (ValueError("no\nluck"), "tlstap_locate raised ValueError: no luck"),
        (SystemExit(3), "tlstap_locate raised SystemExit: 3"),
        (KeyboardInterrupt(), "tlstap_locate raised KeyboardInterrupt:"),
        (TimeoutError(), "tlstap_locate raised TimeoutError:"),
        (PluginError("of its own"), "tlstap_locate raised PluginError: of its own"),
        ("0x10000", "tlstap_locate answered '0x10000' for my_read, which is no address"),
        (1.5, "tlstap_locate answered 1.5 for my_read, which is no address"),
        (-1, "tlstap_locate answered -0x1 for my_read, which is not in an executable segment"),
        (BASE + 4096, "tlstap_locate answered 0x11000 for my_read, which is not in an executable segment"),
    ],
)
def test_what_it_may_not(image: ElfImage, answer: object, problem: str) -> None:
    with pytest.raises(PluginError) as caught:
        Asking().ask(answering(answer), image, LIBRARY, "my_read")
    assert str(caught.value) == problem


def looping() -> object:
    number = 0
    while True:
        try:
            number += 1
        except Exception:
            number = 0


@pytest.mark.usefixtures("soon")
def test_one_that_loops_is_ended(image: ElfImage) -> None:
    threads: list[threading.Thread] = []

    def call() -> object:
        threads.append(threading.current_thread())
        return looping()

    with pytest.raises(PluginError, match=r"^tlstap_locate took more than 0\.2 s, at my_read$"):
        Asking().ask(call, image, LIBRARY, "my_read")
    (thread,) = threads
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.usefixtures("soon")
def test_one_that_sleeps_is_left_behind(image: ElfImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GRACE_SECONDS", 0.1)
    wake = threading.Event()

    def call() -> object:
        wake.wait(60)
        return BASE

    with pytest.raises(PluginError, match="took more than"):
        Asking().ask(call, image, LIBRARY, "my_read")
    wake.set()


@pytest.mark.usefixtures("soon")
def test_patience_is_for_all_functions_of_a_library_in_a_file(image: ElfImage) -> None:
    """Each answers in time, but not all together; another file and another library have their own time."""
    one = Asking()
    clock = Clock()

    def call() -> Any:
        clock.now += 0.15
        return BASE

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking.time, "monotonic", clock)
        assert one.ask(call, image, LIBRARY, "my_read") == Located(BASE)
        assert one._spent[image] == {"mine": pytest.approx(0.15)}
        assert one.ask(call, image, LIBRARY, "my_write") == Located(BASE)
        assert one.ask(call, image, OTHER, "my_read") == Located(BASE)
        with elf_image(b"\xc3" * 32) as another:
            assert one.ask(call, another, LIBRARY, "my_read") == Located(BASE)
    with pytest.raises(PluginError, match="took more than"):
        one.ask(looping, image, LIBRARY, "my_read")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_that_is_always_slow_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.0)
    one = Asking()
    for _ in range(asking.MAX_TIMEOUTS):
        with elf_image(b"\xc3" * 32) as image, pytest.raises(PluginError, match="took more than 0 s"):
            one.ask(looping, image, LIBRARY, "my_read")
    monkeypatch.undo()
    with elf_image(b"\xc3" * 32) as image:
        with pytest.raises(PluginError, match=r"took too long in 3 files and is not asked again"):
            one.ask(answering(BASE), image, LIBRARY, "my_read")
        assert one.ask(answering(BASE), image, OTHER, "my_read") == Located(BASE)

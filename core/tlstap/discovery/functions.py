"""Which function an address belongs to, also where nothing tells where functions begin and end.

By unwind information where it covers the address. Else functions begin where direct calls lead, and behind
the end of the one before: it ends with an instruction that never goes on to the next (a return, a jump out),
unless a branch leads beyond that. What a compiler has moved away from a function because it is seldom
executed (a `.cold` part) belongs to that function: nothing calls it, that one alone jumps into it, and it
jumps back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from tlstap.discovery.code_scan import Progress, code_references
from tlstap.discovery.instructions import Instruction, decode, is_padding
from tlstap.discovery.unwind import Bounds, function_bounds
from tlstap.errors import ElfError

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage

_MARGIN = 32 << 10
"""Bytes around addresses of interest in which functions are known: no function there is larger."""
_MAX_WINDOWS = 64
MAX_STEPS = 2_000_000
"""Instructions that are followed in all of an image's functions together, some of them several times."""
_MAX_OWNERS = 4
_ALIGNMENT = 16


class Functions:
    """The functions around some addresses (and what calls them, from everywhere)."""

    def __init__(
        self, image: ElfImage, addresses: Iterable[int], progress: Progress = lambda size: None
    ) -> None:
        self._image = image
        self._steps = 0
        self._windows = _windows(addresses)
        if len(self._windows) > _MAX_WINDOWS:
            raise image.error("the places that would tell where its functions are lie all over its code")
        self._references = code_references(image, self._windows, progress)
        self._callers: dict[int, list[int]] = {}
        self._jumps: list[tuple[int, int]] = []
        for address, target, kind in self._references:
            if kind == "call":
                self._callers.setdefault(target, []).append(address)
            elif kind == "jump":
                self._jumps.append((target, address))
        self._jumps.sort()
        self._swept: dict[range, list[int]] = {}
        self._bounds: dict[int, Bounds | None] = {}

    def take_step(self) -> None:
        """Count an instruction that is followed in one of them.

        :raise ElfError: they were too many: no library's code takes so long.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise self._image.error("its code has too many ways through it to follow them all")

    def callers(self, function: int) -> Sequence[int]:
        """Addresses of the direct calls of a function."""
        return self._callers.get(function, ())

    def bounds(self, address: int) -> Bounds | None:
        """The function, or the part of one, that an address is in; None if it can't be told."""
        if address not in self._bounds:
            self._bounds[address] = self._by_unwinding(address) or self._by_sweeping(address)
        return self._bounds[address]

    def owner(self, address: int) -> Bounds | None:
        """The same; for an address in a part that was moved away, the function it was moved from."""
        bounds = self.bounds(address)
        for _ in range(_MAX_OWNERS):
            owner = self._moved_from(bounds) if bounds else None
            if owner is None:
                return bounds
            bounds = owner
        return bounds

    def _moved_from(self, part: Bounds) -> Bounds | None:
        """The function that a part was moved away from; None if it is a function itself."""
        if self.is_entered(part):
            return None
        jumps = self.jumps_into(part)
        owners = {self.bounds(source) for _, source in jumps}
        if len(owners) != 1:
            return None
        (owner,) = owners
        if owner is None:
            return None
        # A function that another jumps to at its own end is entered at its start, and never jumps back.
        enters_inside = any(target != part.start for target, _ in jumps)
        return owner if enters_inside or self._jumps_to(part, owner) else None

    def _jumps_to(self, part: Bounds, other: Bounds) -> bool:
        return any(
            one.flow in ("branch", "jump") and one.target is not None and other.start < one.target < other.end
            for one in decode(self._image, part.start, min(part.end, part.start + _MARGIN))
        )

    def is_entered(self, bounds: Bounds) -> bool:
        """Whether direct calls lead to its start."""
        return bounds.start in self._callers

    def is_start(self, address: int) -> bool:
        """Whether something shows that a function begins there: what unwinds it, what leads to it, or that
        it is aligned behind the end of another."""
        bounds = self.bounds(address)
        if bounds is None or bounds.start != address:
            return False
        return (
            address % _ALIGNMENT == 0
            or self.is_entered(bounds)
            or self._by_unwinding(address) is not None
            or any(target == address for target, _ in self.jumps_into(bounds))
        )

    def jumps_into(self, bounds: Bounds) -> list[tuple[int, int]]:
        """(target, address) of the jumps into it from outside."""
        first = bisect_left(self._jumps, (bounds.start, 0))
        last = bisect_left(self._jumps, (bounds.end, 0))
        return [jump for jump in self._jumps[first:last] if not bounds.start <= jump[1] < bounds.end]

    def _by_unwinding(self, address: int) -> Bounds | None:
        try:
            return function_bounds(self._image, address)
        except ElfError:
            return None  # damaged or unknown: the other way remains

    # Without unwind information

    def _by_sweeping(self, address: int) -> Bounds | None:
        window = next((window for window in self._windows if address in window), None)
        if window is None:
            return None
        starts = self._starts(window)
        index = bisect_right(starts, address)
        if not 0 < index < len(starts):
            return None
        return Bounds(starts[index - 1], starts[index])

    def _starts(self, window: range) -> list[int]:
        """Where functions begin in a window, sorted; the last one only ends the one before."""
        if window not in self._swept:
            self._swept[window] = self._sweep(window)
        return self._swept[window]

    def _sweep(self, window: range) -> list[int]:
        targets = {target for target in self._callers if target in window and self._image.is_code(target)}
        surely = sorted(target for target in targets if self._is_entry(target))
        surely = surely or sorted(target for target in targets if target % _ALIGNMENT == 0)
        if not surely:
            return []
        code = _decode_window(self._image, surely, window.stop)
        called = sorted({*surely, *_behind_ends(code, targets)})
        leads = _Leads(code, called)
        self._jumps = sorted({*self._jumps, *((target, source) for source, target in leads.jumps)})
        starts = set(called)
        start = reach = 0
        for index, one in enumerate(code[:-1]):
            if one.address in starts:
                start = reach = one.address
            if one.flow in ("branch", "jump") and one.target is not None and one.target < window.stop:
                following = bisect_right(called, one.address)
                if following == len(called) or one.target < called[following]:
                    reach = max(reach, one.target)
            if one.next > reach and (begin := _behind(code, index, start, leads)) is not None:
                starts.add(begin)
        if code and not self._image.is_code(code[-1].next):
            starts.add(code[-1].next)
        return sorted(starts)

    def _is_entry(self, address: int) -> bool:
        """Whether what looks like a call that leads there surely is one: it is not alone."""
        if self._image.machine == "aarch64":
            return address % 4 == 0
        if len(self._callers[address]) > 1:
            return True
        jump = bisect_left(self._jumps, (address, 0))
        return jump < len(self._jumps) and self._jumps[jump][0] == address


def _decode_window(image: ElfImage, surely: Sequence[int], end: int) -> list[Instruction]:
    """The instructions from the first function on; what is none ends at the next function."""
    return [one for start, stop in pairwise((*surely, end)) for one in decode(image, start, stop)]


def _behind_ends(code: Sequence[Instruction], targets: set[int]) -> set[int]:
    """The targets that stand where a function can: behind an instruction that never goes on, and padding; or
    aligned behind padding alone, after a call that never returns."""
    found = set()
    ended = False
    for one in code:
        if ended and one.address in targets:
            found.add(one.address)
        aligned = is_padding(one) and one.next % _ALIGNMENT == 0
        ended = one.flow in ("end", "jump") or aligned or (ended and is_padding(one))
    return found


class _Leads:
    """Where the jumps and branches of some code lead."""

    def __init__(self, code: Sequence[Instruction], called: Sequence[int]) -> None:
        self._called = called
        self.jumps = [
            (one.address, one.target)
            for one in code
            if one.flow in ("branch", "jump") and one.target is not None
        ]
        self._sources: dict[int, list[int]] = {}
        for source, target in self.jumps:
            self._sources.setdefault(target, []).append(source)

    def into(self, address: int, start: int) -> bool:
        """Whether the function that begins at `start`, and would go on at `address`, jumps there: itself, or
        from a part that was moved away, into which it jumps."""
        sources = self._sources.get(address)
        if not sources:
            return False
        end = self._next_called(address)
        if any(start <= source and (end is None or source < end) for source in sources):
            return True
        first = bisect_left(self.jumps, (start, 0))
        last = bisect_left(self.jumps, (address, 0))
        away = [target for _, target in self.jumps[first:last] if not start <= target < address]
        return any(self._is_together(target, source) for target in away for source in sources)

    def _next_called(self, address: int) -> int | None:
        index = bisect_right(self._called, address)
        return self._called[index] if index < len(self._called) else None

    def _is_together(self, first: int, second: int) -> bool:
        """Whether no function begins between two places."""
        return first <= second and bisect_right(self._called, first) == bisect_right(self._called, second)


def _behind(code: Sequence[Instruction], index: int, start: int, leads: _Leads) -> int | None:
    """Where the next function begins, if the one from `start` on ends with this instruction: nothing leads
    beyond it.

    A call that never returns ends one too, and so does a jump to a computed address that is no switch; they
    show by padding behind them up to an aligned address that nothing jumps to.
    """
    one = code[index]
    if one.flow not in ("end", "jump", "call"):
        return None
    surely = one.flow != "call" and (one.flow != "jump" or one.target is not None)
    padded = False
    for following in code[index + 1 :]:
        if leads.into(following.address, start):
            return None
        if not is_padding(following):
            aligned = padded and following.address % _ALIGNMENT == 0
            return following.address if surely or aligned else None
        padded = True
    return None


def _windows(addresses: Iterable[int]) -> list[range]:
    """Ranges around the addresses; those that touch are one."""
    windows: list[range] = []
    for address in sorted(addresses):
        window = range(max(0, address - _MARGIN), address + _MARGIN)
        if windows and window.start <= windows[-1].stop:
            windows[-1] = range(windows[-1].start, window.stop)
        else:
            windows.append(window)
    return windows

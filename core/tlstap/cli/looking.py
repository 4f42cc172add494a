"""The bar for a large file that is looked into while tracing."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tlstap.cli.progress import ProgressLine, progress

if TYPE_CHECKING:
    from tlstap.tracing.session import Session


class LookingInto:
    """A bar for the large file that is looked into while tracing; it gives way to what is captured, if both
    go to the terminal."""

    def __init__(self, session: Session, gives_way: bool) -> None:
        self._session = session
        self._gives_way = gives_way
        self._bar = ExitStack()
        self._line: ProgressLine | None = None
        self._ended = session.looked_into is None

    def __enter__(self) -> LookingInto:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def update(self) -> None:
        """Show how far it is."""
        if self._ended:
            return
        found = self._session.looked_into
        if found is None:
            self._end()
            return
        if self._line is None:
            self._line = self._bar.enter_context(progress("", total=found[2]))
        self._line.look_into(*found)

    def give_way(self) -> None:
        """Something is about to be written."""
        if self._gives_way and not self._ended:
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._bar.close()

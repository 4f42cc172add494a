"""The bar for a large file that is looked into while tracing."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tlstap.cli.progress import ProgressLine, looking_into, progress

if TYPE_CHECKING:
    from tlstap.tracing.session import Session


class LookingInto:
    """A bar for each large file that is looked into while tracing. Once something was captured there is none
    any more, if both go to the terminal.

    :param gives_way: both go to the terminal.
    """

    def __init__(self, session: Session, gives_way: bool) -> None:
        self._session = session
        self._gives_way = gives_way
        self._has_given_way = False
        self._bar = ExitStack()
        self._line: ProgressLine | None = None

    def __enter__(self) -> LookingInto:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def update(self) -> None:
        """Show how far it is."""
        if self._has_given_way:
            return
        found = self._session.looked_into
        if found is None:
            self._close()
            return
        if self._line is None:
            self._line = self._bar.enter_context(progress(looking_into(found[0]), found[2]))
        self._line.look_into(*found)

    def give_way(self) -> None:
        """Something is about to be written."""
        if self._gives_way and not self._has_given_way:
            self._has_given_way = True
            self._close()

    def _close(self) -> None:
        self._bar.close()
        self._line = None

"""How wide the columns of the summary are."""

from __future__ import annotations

from rich.cells import cell_len

from tlstap.sinks.words.brief import pad, shorten

NARROW, WIDE = 100, 140
"""Columns of terminals: below the one, times are cut to seconds; from the other on, types are in full."""
MIN_URL, MAX_URL = 12, 64
"""Columns of a URL: where it has to be short, and where rows have no end, up to which they are aligned."""
SMALL_URL = 20
"""To fewer columns a URL is not shortened for the sake of what stands behind the last column."""
MAX_TYPE, SHORT_TYPE, SHORTEST_TYPE = 24, 12, 8
MAX_PROCESS, SHORT_PROCESS = 22, 15
"""Columns of a process's name and number."""
_SCHEME = "https://"


class Columns:
    """Fits texts into columns. Those grow with what was seen, so that later rows stand below earlier ones.

    :param width: the terminal's, None for rows without an end.
    """

    def __init__(self, width: int | None, ellipsis: str) -> None:
        self._width = width
        self._ellipsis = ellipsis
        self._grown = {"tag": 5, "type": 16, "url": 40}
        self.is_narrow = width is not None and width < NARROW
        self.is_wide = width is None or width >= WIDE

    def tag(self, text: str) -> str:
        """A connection's mark."""
        return self._grow("tag", text)

    def process(self, text: str) -> str:
        """A process's name and number."""
        return self._grow("process", self._shorten(text, SHORT_PROCESS if self.is_narrow else MAX_PROCESS))

    def content_type(self, text: str) -> str:
        """A media type; where it is too long, what stands behind the slash."""
        most = MAX_TYPE if self.is_wide else SHORTEST_TYPE if self.is_narrow else SHORT_TYPE
        if self._width is not None and len(text) > most:
            text = self._shorten(text.rpartition("/")[2], most)
        return self._grow("type", text, most) if self.is_wide else pad(text, most)

    def url(self, url: str, behind: str, taken: int, notes: int) -> tuple[str, str, str]:
        """A URL, what stands behind it in the same column, and the spaces that fill this up to its end.

        :param taken: columns that the others take.
        :param notes: columns of what comes behind the last one, if there is room.
        """
        if self._width is None:
            return url, behind, self._grow("url", url + behind, MAX_URL)[len(url + behind) :]
        room = self._width - taken
        if room - notes >= SMALL_URL:
            room -= notes
        if room - len(behind) < MIN_URL:
            behind, room = "", max(room, MIN_URL)
        if cell_len(url) + len(behind) > room:
            url = self._shorten(url.removeprefix(_SCHEME), room - len(behind))
        return url, behind, " " * (room - cell_len(url) - len(behind))

    def _shorten(self, text: str, columns: int) -> str:
        return shorten(text, columns, self._ellipsis)

    def _grow(self, column: str, text: str, most: int | None = None) -> str:
        """`text` in a column that grows with it, unless it has more than `most`."""
        columns, size = self._grown.get(column, 0), cell_len(text)
        if columns < size and (most is None or size <= most):
            columns = self._grown[column] = size
        return pad(text, columns)

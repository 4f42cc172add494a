"""Remembers what was found in which file, so that a later start need not look again.

An address that belongs to another file would corrupt the traced program, and build-ids can be forged. So
an entry is used only for the very file that it was made from, told by its identity (device, inode, size,
times), or for one with the same content, told by its digest. An identity on a device whose number is not
lasting is enough to say that there is no TLS in a file, but not to place probes. Files in which there is
nothing, which are most, have an entry too: they make up nearly all of a scan's time.

One file holds the entries for one set of declarations, as they are all read at each start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tlstap import cachefile
from tlstap.discovery.files import FileIdentity, digest
from tlstap.discovery.report import ImageReport

if TYPE_CHECKING:
    from tlstap.library import Library

FORMAT = 3
"""Raise it when analysis finds something else in the same file."""

MAX_ENTRIES = 20_000
_PREFIX = "images-"
_MAX_FILES = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """What was found in a file; `report` is None if there is no TLS in it.

    `companions`: other files that were read, by name, and which files those were.
    """

    report: ImageReport | None
    content: str = ""
    companions: Mapping[str, FileIdentity] = field(default_factory=dict)

    @property
    def places_probes(self) -> bool:
        """Whether a mistake would put probes somewhere."""
        return self.report is not None and bool(self.report.libraries)


class ReportCache:
    """The entries of earlier runs for these declarations; `save` writes them back if there are new ones."""

    def __init__(self, libraries: Collection[Library]) -> None:
        self._name = f"{_PREFIX}{_declarations_key(libraries)}.json"
        self._entries: dict[FileIdentity, Entry] = {}
        self._by_content: dict[tuple[str | None, int], list[Entry]] = {}
        self._changed = False
        content = cachefile.load(self._name)
        if content is not None:
            self._read(content)

    def get(self, identity: FileIdentity) -> Entry | None:
        """The entry for exactly this file, by its identity alone; None if that proves too little."""
        entry = self._entries.get(identity)
        if entry is not None and (identity.lasting or not entry.places_probes):
            # The order of entries is that of their last use.
            self._entries[identity] = self._entries.pop(identity)
            return entry
        return None

    def get_by_content(self, identity: FileIdentity, build_id: str | None, fd: int) -> Entry | None:
        """The entry of another file (or of this one earlier) with the same content.

        Reads the whole file, but only if there is an entry with that build-id and size.
        """
        entries = self._by_content.get((build_id, identity.size), [])
        if entries:
            content = digest(fd)
            for entry in entries:
                if entry.content == content:
                    return entry
        return None

    def put(self, identity: FileIdentity, entry: Entry) -> None:
        """Remember what is in a file, which must have been the same before and after the analysis.

        Not if a plugin failed: it may find more when it is mended.
        """
        if entry.report is not None and entry.report.failed:
            return
        self._add(identity, entry)
        self._changed = True

    def save(self) -> None:
        """Write new entries to disk, the last used ones if there are too many."""
        if not self._changed:
            return
        entries = list(self._entries.items())[-MAX_ENTRIES:]
        empty = [list(identity) for identity, entry in entries if entry.report is None]
        found = [
            {
                "identity": list(identity),
                "content": entry.content,
                "companions": {name: list(other) for name, other in entry.companions.items()},
                "report": entry.report.model_dump(mode="json"),
            }
            for identity, entry in entries
            if entry.report is not None
        ]
        text = json.dumps({"empty": empty, "found": found}, separators=(",", ":"))
        if cachefile.store(self._name, text.encode()):
            cachefile.keep_newest(_PREFIX, _MAX_FILES)
        self._changed = False

    def _add(self, identity: FileIdentity, entry: Entry) -> None:
        self._entries[identity] = entry
        if entry.report is not None and entry.places_probes:
            self._by_content.setdefault((entry.report.build_id, identity.size), []).append(entry)

    def _read(self, content: bytes) -> None:
        try:
            saved = json.loads(content)
            nothing = Entry(report=None)
            for values in saved["empty"]:
                self._entries[_identity(values)] = nothing
            for item in saved["found"]:
                companions = {str(name): _identity(other) for name, other in item["companions"].items()}
                report = ImageReport.model_validate_json(json.dumps(item["report"]))
                self._add(_identity(item["identity"]), Entry(report, str(item["content"]), companions))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError):
            self._entries.clear()
            self._by_content.clear()


def _identity(values: Any) -> FileIdentity:
    device, inode, size, mtime_ns, ctime_ns = values
    return FileIdentity(int(device), int(inode), int(size), int(mtime_ns), int(ctime_ns))


def _declarations_key(libraries: Collection[Library]) -> str:
    """Changes with anything that decides what is found."""
    state = hashlib.blake2b(digest_size=12)
    try:
        release = version("tlstap")
    except PackageNotFoundError:
        release = ""
    state.update(f"{FORMAT} {release}".encode())
    for library in sorted(libraries, key=lambda library: library.name):
        state.update(b"\0" + library.model_dump_json().encode())
    return state.hexdigest()

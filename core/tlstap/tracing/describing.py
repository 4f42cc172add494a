"""Asks plugins for words, and bears it if one fails: the value then stands for itself."""

from __future__ import annotations

from tlstap.library import Library
from tlstap.registry import Registry
from tlstap.tracing.options import Tell

MAX_REASON = 300


class Describing:
    """Calls tlstap_describe; a plugin's first failure is told."""

    def __init__(self, registry: Registry, tell: Tell) -> None:
        self._registry = registry
        self._tell = tell
        self._told: set[str] = set()

    def __call__(self, library: Library, detail: str, value: bytes) -> str | None:
        """The plugin's words for a detail of a connection; None if it has none."""
        try:
            text = self._registry.describe(library, detail, value)
            if text is not None and not isinstance(text, str):
                raise TypeError(f"it returned {text!r:.60}, which is no text")
        except (Exception, SystemExit) as error:
            self._report(library, detail, error)
            return None
        return text

    def _report(self, library: Library, detail: str, error: BaseException) -> None:
        plugin = self._registry.plugin_of(library)
        if plugin.name not in self._told:
            self._told.add(plugin.name)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
            what = f"{plugin.label}: tlstap_describe failed for {detail} ({reason})"
            self._tell(f"{what}; what it fails for is shown as it is")

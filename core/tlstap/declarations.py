"""What may be wrong with a plugin as it is loaded, each as one line that its author understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pluggy
from pydantic import ValidationError

from tlstap import hookspecs
from tlstap.errors import PluginError

_HOOKS = tuple(name for name in vars(hookspecs) if name.startswith(f"{hookspecs.PROJECT}_"))
_MARK = f"{hookspecs.PROJECT}_impl"


class BrokenError(PluginError):
    """One plugin is wrong; it alone is left out."""


def check_hooks(implementation: Any) -> None:
    """Whether a plugin's hooks are known and marked.

    :raises BrokenError: it has none, an unknown one, or one without its mark.
    """
    marked = []
    for name in dir(implementation):
        hook = getattr(implementation, name, None)
        if getattr(hook, _MARK, None) is not None:
            marked.append(name)
            if name not in _HOOKS:
                raise BrokenError(f"there is no hook {name}{_did_you_mean(name, _HOOKS)}")
        elif name in _HOOKS and callable(hook):
            raise BrokenError(f"{name} is not marked with @tlstap.hookimpl")
    if not marked:
        raise BrokenError("it has no hook: no function is marked with @tlstap.hookimpl")


def call_hook(hook: pluggy.HookCaller, arguments: Mapping[str, object], kind: type[Any]) -> list[Any]:
    """What a plugin declares by a hook.

    :raises BrokenError: it raised, or returned something else than a sequence of `kind`.
    """
    try:
        answers = hook(**arguments)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise BrokenError(f"{hook.name} raised {one_line(error)}") from None
    declared: list[Any] = []
    for answer in answers:
        if not isinstance(answer, Sequence) or not all(isinstance(item, kind) for item in answer):
            raise BrokenError(f"{hook.name} must return a sequence of {kind.__name__}, not {answer!r:.100}")
        declared.extend(answer)
    for item in declared:
        name = getattr(item, "name", None)
        if not isinstance(name, str) or not name.isprintable() or not name:
            raise BrokenError(f"{hook.name}: {type(item).__name__}.name must be a text, not {name!r:.100}")
    return declared


def one_line(error: BaseException) -> str:
    """What a plugin raised."""
    text = _validation_text(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _validation_text(error: ValidationError) -> str:
    """pydantic's errors as one line that names model and field."""
    parts = []
    for detail in error.errors(include_url=False):
        place = ".".join(str(part) for part in detail["loc"])
        what = "unknown field" if detail["type"] == "extra_forbidden" else detail["msg"]
        parts.append(f"{error.title}: {place}: {what}" if place else f"{error.title}: {what}")
    return "; ".join(parts)


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""

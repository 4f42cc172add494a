"""Values of the output options: what they mean, and how a shell completes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tlstap.errors import UsageError

if TYPE_CHECKING:
    from tlstap.discovery.given import GivenAddress

ALL = "all"
_SIZE = re.compile(r"([0-9]{1,15})([KMG]?)(?:i?B)?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def complete_format(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of output formats, those of plugins too."""
    from tlstap.registry import Registry

    sinks = Registry.load().sinks.values()
    return [CompletionItem(sink.name, help=sink.help) for sink in sinks if sink.name.startswith(incomplete)]


def kinds(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[str] | None:
    """Kinds of events, separated by commas."""
    from tlstap.schema import KINDS

    if value is None:
        return None
    chosen = [kind.strip() for kind in value.split(",")]
    for kind in chosen:
        if kind not in KINDS:
            raise click.BadParameter(f"no kind {kind!r}; there are {', '.join(KINDS)}", ctx, param)
    return frozenset(chosen)


def complete_kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The kind behind the last comma."""
    from tlstap.schema import KINDS

    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{before}{comma}{kind}") for kind in KINDS if kind.startswith(last)]


def byte_limit(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """A number of bytes, perhaps with K, M or G (powers of 1024), or "all"."""
    if value is None or value == ALL:
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise click.BadParameter(
            f"{value!r} is no size; expected a number of bytes, such as 4096, 64K or 1M, or {ALL}", ctx, param
        )
    return int(match[1]) * _FACTORS[match[2].upper()]


def byte_size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A number of bytes, perhaps with K, M or G (powers of 1024)."""
    size = None if value == ALL else byte_limit(ctx, param, value)
    if not isinstance(size, int):
        raise click.BadParameter(
            f"{value!r} is no size; expected a number of bytes, such as 64K or 16M", ctx, param
        )
    return size


def names(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> frozenset[str]:
    """Names, repeated or separated by commas."""
    return frozenset(name for part in value for name in part.split(",") if name)


def given_addresses(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[GivenAddress, ...]:
    """FILE:FUNCTION=ADDRESS, repeated."""
    from tlstap.discovery.given import GivenAddress

    try:
        return tuple(GivenAddress.parse(text) for text in value)
    except UsageError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def users(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> frozenset[int]:
    """Users, by id or name."""
    return frozenset(_user(ctx, param, user) for user in value)


def _user(ctx: click.Context, param: click.Parameter, user: str) -> int:
    import pwd

    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise click.BadParameter(f"no user {user!r}; expected an id or a name", ctx, param) from None

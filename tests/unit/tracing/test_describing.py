"""Plugins' words for details, and plugins that fail to find any."""

from __future__ import annotations

import pytest
from tests.support.site import Site, good

from tlstap.registry import Registry
from tlstap.tracing.describing import Describing

HOOK = """
@tlstap.hookimpl
def tlstap_describe(library, detail, value):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no\\nwords')", "ValueError: no words"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("return describe(library)", "NameError: name 'describe' is not defined"),
        ("return value", "TypeError: it returned b'x', which is no text"),
    ],
)
def test_the_first_failure_of_a_plugin_is_told(site: Site, body: str, reason: str) -> None:
    site.install("bad", good("badssl") + HOOK.format(body=body))
    site.install("fine", good("finessl") + HOOK.format(body="return detail + ' ' + value.decode()"))
    registry = Registry.load(third_party=site.points("bad", "fine"))
    told: list[str] = []
    describe = Describing(registry, told.append)
    for detail in ("sni", "alpn"):
        assert describe(registry.library("badssl"), detail, b"x") is None
        assert describe(registry.library("finessl"), detail, b"x") == f"{detail} x"
    assert told == [
        f"plugin bad of dist-bad: tlstap_describe failed for sni ({reason}); "
        "what it fails for is shown as it is"
    ]


def test_an_interrupt_is_the_users(site: Site) -> None:
    site.install("slow", good("slowssl") + HOOK.format(body="raise KeyboardInterrupt"))
    registry = Registry.load(third_party=site.points("slow"))
    with pytest.raises(KeyboardInterrupt):
        Describing(registry, print)(registry.library("slowssl"), "sni", b"x")

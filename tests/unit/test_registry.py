"""Plugins: built-in and third-party ones, and what happens to those that are wrong."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from tests.support.site import Site, good

from tlstap.errors import PluginError, UsageError
from tlstap.hookspecs import CONTRACT
from tlstap.location import Located
from tlstap.registry import BUILTIN, BUILTIN_PLUGINS, Failure, Registry

if TYPE_CHECKING:
    from tlstap.discovery.elf import ElfImage


def reasons(registry: Registry) -> dict[str, str]:
    """Why plugins were left out, by distribution."""
    return {failure.distribution: failure.reason for failure in registry.failures}


def test_built_in_plugins() -> None:
    registry = Registry.load(third_party=())
    assert registry.failures == []
    assert [plugin.name for plugin in registry.plugins] == [name for name, _ in BUILTIN_PLUGINS]
    assert {plugin.distribution for plugin in registry.plugins} == {BUILTIN}
    assert registry.library("openssl").title == "OpenSSL"
    assert registry.plugin_of(registry.library("openssl")).name == "openssl"
    assert {"text", "json", "hex", "har"} <= set(registry.sinks)
    assert "http1" in {protocol.name for protocol in registry.protocols}
    openssl = registry.plugins[0]
    assert registry.declared_by(openssl)["libraries"][0] == "openssl"
    assert registry.declared_by(openssl)["formats"] == []


def test_an_installed_plugin(site: Site) -> None:
    site.install("wolf", good("wolfssl"), distribution="tlstap-wolf")
    registry = Registry.load()
    assert registry.failures == []
    plugin = registry.plugin_of(registry.library("wolfssl"))
    assert (plugin.name, plugin.distribution, plugin.version) == ("wolf", "tlstap-wolf", "1.5")
    assert registry.declared_by(plugin) == {
        "libraries": ["wolfssl"],
        "protocols": [],
        "body formats": [],
        "formats": [],
    }


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("class Odd(BaseException): pass\nraise Odd('one')", "Odd: one"),
        ("def (", "SyntaxError: invalid syntax"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_left_out_alone(site: Site, source: str, reason: str) -> None:
    site.install("bad", source)
    site.install("wolf", good("wolfssl"))
    registry = Registry.load(third_party=site.points("bad", "wolf"))
    (failure,) = registry.failures
    assert (failure.name, failure.distribution) == ("bad", "dist-bad")
    assert failure.reason.startswith(f"can't be imported: {reason}")
    assert "\n" not in failure.reason
    assert set(registry.libraries) >= {"openssl", "wolfssl"}


def test_an_interrupt_while_importing_is_the_users(site: Site) -> None:
    site.install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Registry.load(third_party=site.points("slow"))


IN_A_HOOK = """
import tlstap
@tlstap.hookimpl
def tlstap_libraries():
    {body}
"""


@pytest.mark.parametrize("in_hook", [False, True])
def test_an_unknown_field_names_model_field_and_plugin(site: Site, in_hook: bool) -> None:
    declaration = good("wolfssl", 'snipet="wolf.h", ')
    if in_hook:
        statement = declaration.split("LIBRARY = ")[1].split("\n\n")[0]
        declaration = IN_A_HOOK.format(body=f"return [{statement}]")
    site.install("wolf", declaration, distribution="tlstap-wolf")
    registry = Registry.load(third_party=site.points("wolf"))
    (failure,) = registry.failures
    assert (failure.name, failure.distribution) == ("wolf", "tlstap-wolf")
    assert failure.reason.endswith("Library: snipet: unknown field")
    assert "wolfssl" not in registry.libraries


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no')", "tlstap_libraries raised ValueError: no"),
        ("raise SystemExit(1)", "tlstap_libraries raised SystemExit: 1"),
        ("return 'wolfssl'", "tlstap_libraries must return a sequence of Library, not 'wolfssl'"),
        ("return [1]", "tlstap_libraries must return a sequence of Library, not [1]"),
        ("return 7", "tlstap_libraries must return a sequence of Library, not 7"),
        (
            "return tlstap_libraries()",
            "tlstap_libraries raised RecursionError: maximum recursion depth exceeded",
        ),
    ],
)
def test_a_hook_that_is_wrong(site: Site, body: str, reason: str) -> None:
    site.install("bad", IN_A_HOOK.format(body=body))
    site.install("wolf", good("wolfssl"))
    registry = Registry.load(third_party=site.points("bad", "wolf"))
    assert registry.failures == [Failure("bad", "dist-bad", reason)]
    assert "wolfssl" in registry.libraries


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "@tlstap.hookimpl\ndef tlstap_libary():\n    return []\n",
            "there is no hook tlstap_libary; did you mean tlstap_libraries?",
        ),
        ("@tlstap.hookimpl\ndef elsewhere():\n    return []\n", "there is no hook elsewhere"),
        ("def tlstap_protocols():\n    return []\n", "tlstap_protocols is not marked with @tlstap.hookimpl"),
    ],
)
def test_a_hook_that_is_not_known_or_not_marked_leaves_its_plugin_out(
    site: Site, source: str, reason: str
) -> None:
    site.install("typo", good("typossl") + source)
    site.install("wolf", good("wolfssl"))
    registry = Registry.load(third_party=site.points("typo", "wolf"))
    assert registry.failures == [Failure("typo", "dist-typo", reason)]
    assert set(registry.libraries) & {"typossl", "wolfssl"} == {"wolfssl"}


def test_a_module_without_hooks_is_no_plugin(site: Site) -> None:
    site.install("empty", "import tlstap\n")
    registry = Registry.load(third_party=site.points("empty"))
    assert reasons(registry) == {"dist-empty": "it has no hook: no function is marked with @tlstap.hookimpl"}


def test_what_a_plugin_prints_is_no_output(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    source = good("wolfssl").replace("    return [LIBRARY]", "    print('asked')\n    return [LIBRARY]")
    site.install("wolf", "print('imported')\n" + source)
    assert Registry.load(third_party=site.points("wolf")).failures == []
    assert capsys.readouterr() == ("", "imported\nasked\n")


def test_a_plugin_that_needs_a_newer_contract(site: Site) -> None:
    site.install("new", f"import tlstap\ntlstap.requires_contract({CONTRACT + 1})\n" + good("newssl"))
    site.install("wolf", f"import tlstap\ntlstap.requires_contract({CONTRACT})\n" + good("wolfssl"))
    registry = Registry.load(third_party=site.points("new", "wolf"))
    (failure,) = registry.failures
    assert failure.text == (
        f"plugin new of dist-new is left out: needs version {CONTRACT + 1} of the plugin contract; "
        f"tlstap {version('tlstap')} has {CONTRACT}: upgrade tlstap"
    )
    assert set(registry.libraries) & {"newssl", "wolfssl"} == {"wolfssl"}


def test_a_hook_with_an_argument_that_does_not_exist(site: Site) -> None:
    site.install(
        "wrong", good("wrongssl") + "\n@tlstap.hookimpl\ndef tlstap_locate(picture):\n    return 1\n"
    )
    site.install("wolf", good("wolfssl"))
    registry = Registry.load(third_party=site.points("wrong", "wolf"))
    (failure,) = registry.failures
    assert failure.name == "wrong"
    assert "picture" in failure.reason
    assert set(registry.libraries) & {"wrongssl", "wolfssl"} == {"wolfssl"}


# ---- clashes ----


def test_a_plugin_with_a_built_in_ones_name_is_left_out(site: Site) -> None:
    site.install("openssl", good("otherssl"), distribution="evil")
    registry = Registry.load(third_party=site.points("openssl"))
    (failure,) = registry.failures
    assert (failure.name, failure.distribution) == ("openssl", "evil")
    assert "'openssl' (of plugins) is taken by plugin openssl of tlstap" in failure.reason
    assert "evil" in failure.reason
    assert "otherssl" not in registry.libraries
    assert registry.plugin_of(registry.library("openssl")).distribution == BUILTIN


def test_a_library_with_a_built_in_ones_name_is_left_out(site: Site) -> None:
    site.install("mine", good("openssl"), distribution="evil")
    registry = Registry.load(third_party=site.points("mine"))
    (failure,) = registry.failures
    assert "'openssl' (of libraries) is taken by plugin openssl of tlstap" in failure.reason
    assert registry.library("openssl").title == "OpenSSL"
    assert [plugin.name for plugin in registry.plugins] == [name for name, _ in BUILTIN_PLUGINS]


FORMAT = """
import tlstap
from tlstap.sinks.base import SinkType
@tlstap.hookimpl
def tlstap_sinks():
    return [SinkType("{name}", "help", lambda stream, options: None)]
"""


def test_a_format_with_a_built_in_ones_name_is_left_out(site: Site) -> None:
    before = Registry.load(third_party=()).sinks["json"]
    site.install("mine", FORMAT.format(name="json"), distribution="evil")
    site.install("fine", FORMAT.format(name="fine"))
    registry = Registry.load(third_party=site.points("mine", "fine"))
    (failure,) = registry.failures
    assert (failure.name, failure.distribution) == ("mine", "evil")
    assert "'json' (of formats) is taken by plugin sinks of tlstap" in failure.reason
    assert registry.sinks["json"] is before
    assert registry.sinks["fine"].name == "fine"


NAMED = """
import tlstap

class Mine(tlstap.{base}):
    {name}
    def recognise(self, channel, direction, start): ...
    def decoder(self, channel, memory): ...
    def reader(self, exchange, message, memory): ...

@tlstap.hookimpl
def {hook}():
    return [Mine()]
"""


@pytest.mark.parametrize(
    ("base", "hook", "name", "reason"),
    [
        (
            "Protocol",
            "tlstap_protocols",
            "name = 'http1'",
            "the name 'http1' (of protocols) is taken by plugin protocols of tlstap; ",
        ),
        (
            "BodyFormat",
            "tlstap_body_formats",
            "name = 'sse'",
            "the name 'sse' (of body formats) is taken by plugin protocols of tlstap; ",
        ),
        ("Protocol", "tlstap_protocols", "", "tlstap_protocols: Mine.name must be a text, not None"),
        ("Protocol", "tlstap_protocols", "name = 7", "tlstap_protocols: Mine.name must be a text, not 7"),
        (
            "BodyFormat",
            "tlstap_body_formats",
            "name = 'a\\n'",
            "tlstap_body_formats: Mine.name must be a text",
        ),
    ],
)
def test_names_of_decoders(site: Site, base: str, hook: str, name: str, reason: str) -> None:
    site.install("mine", NAMED.format(base=base, hook=hook, name=name), distribution="evil")
    registry = Registry.load(third_party=site.points("mine"))
    (failure,) = registry.failures
    assert failure.reason.startswith(reason)
    assert not [one for one in (*registry.protocols, *registry.body_formats) if type(one).__name__ == "Mine"]


def test_of_two_third_parties_the_later_one_is_left_out(site: Site) -> None:
    site.install("first", good("wolfssl", 'sonames=("first",),'))
    site.install("second", good("wolfssl", 'sonames=("second",),'))
    registry = Registry.load(third_party=site.points("first", "second"))
    (failure,) = registry.failures
    assert (failure.name, failure.distribution) == ("second", "dist-second")
    assert "'wolfssl' (of libraries) is taken by plugin first of dist-first" in failure.reason
    assert "uninstall dist-second or dist-first" in failure.reason
    assert registry.library("wolfssl").sonames == ("first",)

    turned = Registry.load(third_party=site.points("second", "first"))
    assert turned.library("wolfssl").sonames == ("second",)


def test_two_plugins_of_one_name(site: Site) -> None:
    site.install("wolf", good("wolfssl"), distribution="one")
    one = site.points("wolf")
    site.install("wolf", good("wolfssl2"), distribution="two")
    two = [point for point in entry_points(group="tlstap") if point.dist and point.dist.name == "two"]
    registry = Registry.load(third_party=[*one, *two])
    assert set(reasons(registry)) == {"two"}
    assert "'wolf' (of plugins) is taken by plugin wolf of one" in reasons(registry)["two"]
    assert "wolfssl2" not in registry.libraries


def test_a_name_declared_twice_by_one_plugin(site: Site) -> None:
    source = good("wolfssl").replace("return [LIBRARY]", "return [LIBRARY, LIBRARY]")
    site.install("wolf", source)
    registry = Registry.load(third_party=site.points("wolf"))
    assert reasons(registry) == {"dist-wolf": "declares the name 'wolfssl' (of libraries) twice"}


def test_what_a_failed_plugin_claimed_is_free_again(site: Site) -> None:
    """Its first library is new, its second one taken: neither stays, nor its hold on the first name."""
    both = good("wolfssl") + good("openssl").replace("LIBRARY", "OTHER")
    site.install("greedy", both.replace("return [OTHER]", "return [LIBRARY, OTHER]"))
    site.install("wolf", good("wolfssl"))
    registry = Registry.load(third_party=site.points("greedy", "wolf"))
    assert set(reasons(registry)) == {"dist-greedy"}
    assert registry.plugin_of(registry.library("wolfssl")).name == "wolf"


# ---- leaving out ----


def test_no_plugin(site: Site) -> None:
    site.install("wolf", good("wolfssl"))
    site.install("boom", "raise SystemExit('is not even imported')")
    points = site.points("wolf", "boom")
    excluded = ["boom", "openssl", "gnutls", "nss", "boringssl"]
    registry = Registry.load(excluded, third_party=points)
    assert registry.failures == []
    assert registry.excluded == excluded
    assert list(registry.libraries) == ["wolfssl"]


def test_an_unknown_name_to_leave_out_lists_the_known_ones(site: Site) -> None:
    site.install("wolf", good("wolfssl"))
    with pytest.raises(UsageError) as caught:
        Registry.load(["wolff"], third_party=site.points("wolf"))
    known = ", ".join(sorted([*(name for name, _ in BUILTIN_PLUGINS), "wolf"]))
    assert str(caught.value) == f"no plugin 'wolff' to leave out; known are: {known}"


def test_an_unknown_library_lists_the_known_ones() -> None:
    registry = Registry.load(third_party=())
    with pytest.raises(UsageError) as caught:
        registry.library("nonsense")
    assert (
        str(caught.value)
        == "no library 'nonsense'; known are: aws-lc, boringssl, gnutls, libressl, nss, openssl"
    )


# ---- stand-ins ----

STAND_IN = """
OTHER = LIBRARY.model_copy(update={{"name": "other", "stands_in_for": "{of}"}})

@tlstap.hookimpl
def tlstap_libraries():
    return [LIBRARY, OTHER]
"""


def test_a_stand_in_is_not_chosen_by_name(site: Site) -> None:
    site.install("wolf", good("wolfssl") + STAND_IN.format(of="wolfssl"))
    registry = Registry.load(third_party=site.points("wolf"))
    assert reasons(registry) == {}
    assert registry.stand_in(registry.library("wolfssl")) is registry.libraries["other"]
    assert registry.stand_in(registry.library("openssl")) is None
    assert registry.declared_by(registry.plugins[-1])["libraries"] == ["wolfssl"]
    with pytest.raises(UsageError, match=r"no library 'other'; known are: .*wolfssl$"):
        registry.library("other")


@pytest.mark.parametrize("of", ["openssl", "nothing", "other"])
def test_a_stand_in_is_for_a_library_of_its_own_plugin(site: Site, of: str) -> None:
    site.install("wolf", good("wolfssl") + STAND_IN.format(of=of))
    registry = Registry.load(third_party=site.points("wolf"))
    assert reasons(registry) == {
        "dist-wolf": f"library 'other' stands in for {of!r}, which this plugin does not declare"
    }


def test_a_broken_built_in_plugin_is_an_error(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    site.install("broken", IN_A_HOOK.format(body="return [1]"))
    monkeypatch.setattr("tlstap.registry.BUILTIN_PLUGINS", (("broken", site.modules[0]),))
    with pytest.raises(PluginError, match="tlstap_libraries must return a sequence of Library"):
        Registry.load(third_party=())


# ---- asking the owner ----

ANSWERS = """
@tlstap.hookimpl
def tlstap_locate(image, library, function):
    return {number}

@tlstap.hookimpl
def tlstap_describe(library, detail, value):
    return "{number} " + library.name + " " + detail + " " + value.decode()
"""


class AnyCode:
    """An image in which every address is code's."""

    def is_code(self, address: int) -> bool:
        return True


def test_only_the_owner_is_asked(site: Site) -> None:
    site.install("one", good("onessl") + ANSWERS.format(number=1))
    site.install("two", good("twossl") + ANSWERS.format(number=2))
    site.install("silent", good("silentssl"))
    for order in (("one", "two", "silent"), ("silent", "two", "one")):
        registry = Registry.load(third_party=site.points(*order))
        image = cast("ElfImage", AnyCode())
        answers = [
            registry.locate(image, registry.library(name), "f") for name in ("onessl", "twossl", "silentssl")
        ]
        assert answers == [Located(1), Located(2), None]
        assert registry.describe(registry.library("twossl"), "sni", b"x") == "2 twossl sni x"
        assert registry.describe(registry.library("silentssl"), "sni", b"x") is None
        assert registry.describe(registry.library("openssl"), "cipher", b"(NONE)") == ""


# ---- snippets ----


def test_snippets(site: Site, tmp_path: Path) -> None:
    site.install("wolf", good("wolfssl", 'snippet="part/wolf.h",'), package=True)
    folder = tmp_path / "site" / site.modules[0] / "part"
    folder.mkdir()
    (folder / "wolf.h").write_text("/* wolf */\n")
    registry = Registry.load(third_party=site.points("wolf"))
    assert registry.snippet(registry.library("wolfssl")) == ("wolf/part/wolf.h", "/* wolf */\n")
    name, text = registry.snippet(registry.library("openssl")) or ("", "")
    assert name == "openssl/openssl.h"
    assert "openssl_sets_server_name" in text


def test_no_snippet(site: Site) -> None:
    site.install("wolf", good("wolfssl"))
    registry = Registry.load(third_party=site.points("wolf"))
    assert registry.snippet(registry.library("wolfssl")) is None


@pytest.mark.parametrize("package", [True, False])
def test_a_snippet_that_is_not_there(site: Site, package: bool) -> None:
    site.install("wolf", good("wolfssl", 'snippet="wolf.h",'), distribution="tlstap-wolf", package=package)
    registry = Registry.load(third_party=site.points("wolf"))
    with pytest.raises(PluginError) as caught:
        registry.snippet(registry.library("wolfssl"))
    text = str(caught.value)
    assert text.startswith("plugin wolf of tlstap-wolf: snippet 'wolf.h' of library wolfssl can't be read: ")


def test_a_snippet_that_is_no_text(site: Site, tmp_path: Path) -> None:
    site.install("wolf", good("wolfssl", 'snippet="wolf.h",'), package=True)
    (tmp_path / "site" / site.modules[0] / "wolf.h").write_bytes(b"\xff\xfe")
    registry = Registry.load(third_party=site.points("wolf"))
    with pytest.raises(PluginError, match=r"snippet 'wolf\.h' of library wolfssl can't be read"):
        registry.snippet(registry.library("wolfssl"))


def test_a_plugin_may_be_an_object(site: Site) -> None:
    """An entry point may name an object with the hooks as methods; its module's package has the snippet."""
    source = """
import tlstap
class Plugin:
    @tlstap.hookimpl
    def tlstap_libraries(self):
        return [LIBRARY]
PLUGIN = Plugin()
"""
    declaration = good("wolfssl").split("\n@tlstap.hookimpl")[0]
    site.install("wolf", declaration + source)
    (point,) = site.points("wolf")
    made = EntryPoint("wolf", f"{point.module}:PLUGIN", "tlstap")
    registry = Registry.load(third_party=[made])
    assert registry.failures == []
    assert registry.plugin_of(registry.library("wolfssl")).distribution == "an unknown distribution"

"""A third party's bad plugin beside the others: one line says what is wrong, everything else is traced."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.bpf import own_library
from tests.support.case import Case
from tests.support.certificates import Certificates
from tests.support.programs import Programs
from tests.support.site import Site, good
from tests.support.tracer import READY, TLSTAP, Tracer, run_tlstap

BAD = "tlstap-bad"


class World:
    """A program that uses OpenSSL, under a tlstap that has more plugins."""

    def __init__(self, folder: Path, certificates: Certificates, programs: Programs, records: Path) -> None:
        self.folder = folder
        self.packages = folder / "site"
        self.packages.mkdir()
        self.site = Site(self.packages)
        self.case = Case(self.tlstap, certificates, programs, records)

    def tlstap(self, *arguments: str | int | Path) -> AbstractContextManager[Tracer]:
        environment = os.environ | {"PYTHONPATH": str(self.packages)}
        return run_tlstap(self.folder / "events.json", *arguments, environment=environment)

    def install(self, source: str, snippet: str | None = None, name: str = "bad") -> None:
        """Install a plugin, perhaps with C in `part/bad.h`."""
        self.site.install(name, source, distribution=f"tlstap-{name}", package=True)
        if snippet is not None:
            part = self.packages / self.site.modules[-1] / "part"
            part.mkdir()
            (part / f"{name}.h").write_text(snippet)

    def complaint(self) -> str:
        """Trace OpenSSL, which must be shown exactly; the only line about the bad plugin."""
        self.case.run("messages", "plain", "1.3", "socketpair", 1, 2, 1000)
        self.case.check()
        assert {event.library.name for each in self.case.traced for event in each.events} == {"openssl"}
        (line,) = self.complaints()
        return line

    def complaints(self) -> list[str]:
        return [line for line in self.case.tracer.messages if "tlstap-bad" in line or "tlstap-other" in line]


@pytest.fixture
def world(tmp_path: Path, certificates: Certificates, programs: Programs, records: Path) -> World:
    return World(tmp_path, certificates, programs, records)


def asking(condition: str = "is_bad", library: str = "badssl", name: str = "bad") -> str:
    """A library whose probe to read has a condition."""
    plain = good(library, f'snippet="part/{name}.h",')
    return plain.replace('direction="read"', f'direction="read", condition="{condition}"')


def function(body: str, name: str = "is_bad") -> str:
    return f"/* of a stranger */\nstatic __always_inline bool {name}(struct pt_regs *ctx) {{\n{body}\n}}\n"


def test_one_that_cannot_be_imported(world: World) -> None:
    world.install("raise SystemExit('no\\nway')")
    assert world.complaint() == (
        "tlstap: plugin bad of tlstap-bad is left out: can't be imported: SystemExit: no way"
    )


def test_one_that_prints_does_not_spoil_the_output(world: World) -> None:
    source = "print('hello from tlstap-bad')\n" + good("badssl")
    world.install(source.replace("    return [", "    print('hello again')\n    return ["))
    assert world.complaint() == "hello from tlstap-bad"
    assert "hello again" in world.case.tracer.messages


REJECTED = (
    r"the kernel's verifier rejects its C \(bad/part/bad\.h(:7)?\), is_bad of the probe on badssl_read: "
)


@pytest.mark.parametrize(
    ("snippet", "reason"),
    [
        (
            function("    return no_such_function(ctx);"),
            r"its C does not compile: bad/part/bad\.h:3: .*no_such_function.*",
        ),
        ("\n#error out of order\n", r"its C does not compile: bad/part/bad\.h:2: out of order"),
        (
            "#if 1\n" + function("    return true;"),
            r"its C does not compile: bad/part/bad\.h:1: unterminated .*",
        ),
        (
            function("    return true;") + "static __always_inline bool selected(void) { return false; }\n",
            r"its C does not compile: bad/part/bad\.h:5: redefinition of 'selected'",
        ),
        (
            "struct mine { int x; };\n",
            r"its C \(bad/part/bad\.h\) does not compile: is_bad of the probe on badssl_read: .*'is_bad'.*",
        ),
        (
            function("    if (ctx) {\n    return true;"),
            r"its C \(bad/part/bad\.h\) does not compile: behind it, at .*; is a brace, .* left open\?",
        ),
        (
            function("    return true;") + "/* for ever\n",
            r"its C \(bad/part/bad\.h\) does not compile: behind it, at .*; is a brace, .* left open\?",
        ),
        (
            function("    return (int)PT_REGS_PARM1(ctx) / (int)PT_REGS_PARM2(ctx) == 3;"),
            r"its C \(bad/part/bad\.h:3\) does not compile: .*signed division.*",
        ),
        (
            function("    volatile char much[4000]; much[PT_REGS_PARM1(ctx) & 2047] = 1; return much[7];"),
            r"its C \(bad/part/bad\.h\) does not compile: .*stack limit.*",
        ),
        (
            function('    for (;;) asm volatile("");\n    return true;'),
            REJECTED + r".*(loop|back-edge).*",
        ),
        (
            function("    return true;", "other") + function("    return *(u64 *)PT_REGS_PARM1(ctx) == 3;"),
            REJECTED + r".* \| R\d invalid mem access .*",
        ),
    ],
    ids=["call", "error", "if", "core", "missing", "brace", "comment", "compiler", "stack", "loop", "memory"],
)
def test_one_whose_c_is_of_no_use(world: World, snippet: str, reason: str) -> None:
    world.install(asking(), snippet)
    line = world.complaint()
    assert re.fullmatch(rf"tlstap: plugin bad of tlstap-bad: badssl is not traced: {reason}", line), line


def test_one_whose_macros_mean_something_else(world: World) -> None:
    """They hold in its own C alone."""
    snippet = "#define count(a, b) 7\n#undef bool\n#define bool int\n" + function(
        "    return count(1, 2) == 7;"
    )
    world.install(asking(), snippet)
    world.case.run("messages", "plain", "1.3", "socketpair", 1, 2, 1000)
    world.case.check()
    assert world.complaints() == []


def test_two_with_the_same_function(world: World) -> None:
    """Each is right for itself: the second one to come is left out, and the first one named."""
    world.install(asking(), function("    return true;"))
    world.install(asking(library="otherssl", name="other"), function("    return true;"), "other")
    line = world.complaint()
    named = [re.match(r"tlstap: plugin (\w+) of", line), re.search(r"beside that of plugin (\w+) of", line)]
    assert {found.group(1) for found in named if found} == {"bad", "other"}
    assert re.search(r"its C does not compile: (\w+)/part/\1\.h:2: redefinition of 'is_bad'$", line)


def test_several_bad_ones(world: World) -> None:
    world.install(asking(), "#error one\n")
    world.install(asking(library="otherssl", name="other"), "#error another\n", "other")
    world.case.run("messages", "plain", "1.3", "socketpair", 1, 2, 1000)
    world.case.check()
    assert sorted(world.complaints()) == [
        "tlstap: plugin bad of tlstap-bad: badssl is not traced: "
        "its C does not compile: bad/part/bad.h:1: one",
        "tlstap: plugin other of tlstap-other: otherssl is not traced: "
        "its C does not compile: other/part/other.h:1: another",
    ]


def test_one_whose_c_is_not_there(world: World) -> None:
    world.install(asking())
    assert world.complaint().startswith(
        "tlstap: plugin bad of tlstap-bad: snippet 'part/bad.h' of library badssl can't be read: "
    )


LOCATOR = """
from tlstap.discovery import asking
asking.SECONDS = 1.0

@tlstap.hookimpl
def tlstap_locate(image, library, function):
    {body}
"""


def locating(body: str) -> str:
    """A library that is found in every libssl, with a locator."""
    source = good("badssl").replace('symbols=("badssl_read",)', 'symbols=("SSL_read",)')
    source = source.replace('function="badssl_read"', 'function="badssl_read", locate=True')
    return source + LOCATOR.format(body=body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("while True: pass", "tlstap_locate took more than 1 s, at badssl_read"),
        ("raise SystemExit(7)", "tlstap_locate raised SystemExit: 7"),
        ("return '0x1000'", "tlstap_locate answered '0x1000' for badssl_read, which is no address"),
        ("return 1", "tlstap_locate answered 0x1 for badssl_read, which is not in an executable segment"),
    ],
    ids=["loop", "exit", "text", "outside"],
)
def test_one_whose_locator_is_of_no_use(world: World, body: str, reason: str) -> None:
    world.install(locating(body))
    line = world.complaint()
    assert re.fullmatch(
        rf"tlstap: /\S+: plugin bad of tlstap-bad: badssl is not traced in this file: {re.escape(reason)}",
        line,
    ), line


DECODER = """
import tlstap

class Bad(tlstap.Protocol):
    name = "bad"

    def recognise(self, channel, direction, start):
        {body}

    def decoder(self, channel, memory):
        return None

@tlstap.hookimpl
def tlstap_protocols():
    return [Bad()]
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('who\\nknows')", "ValueError: who knows"),
        ("return 'yes'", "TypeError: recognise() returned 'yes', which is no bool"),
        ("return True", "TypeError: decoder() returned None, which is no Decoder"),
    ],
)
def test_one_whose_decoder_fails(world: World, body: str, reason: str) -> None:
    world.install(DECODER.format(body=body))
    line = world.complaint()
    assert line.startswith(f"tlstap: plugin bad of tlstap-bad: the decoder for 'bad' failed ({reason}); ")


DETAIL = """
import tlstap
LIBRARY = tlstap.Library(
    name="own",
    title="Own",
    recognise=tlstap.Recognise(symbols=("own_library_of_tlstap_tests",)),
    probes=(
        tlstap.DataProbe(function="own_read", direction="read"),
        tlstap.DataProbe(function="own_write", direction="write"),
        tlstap.DetailProbe(function="own_shake", details=("sni",), value=1, number=True),
    ),
)

@tlstap.hookimpl
def tlstap_libraries():
    return [LIBRARY]

@tlstap.hookimpl
def tlstap_describe(library, detail, value):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise RuntimeError('speechless')", "RuntimeError: speechless"),
        ("return b'sni'", "TypeError: it returned b'sni', which is no text"),
    ],
)
def test_one_that_has_no_words(world: World, programs: Programs, body: str, reason: str) -> None:
    """Its library is traced, its details are shown as they are, and the rest as well."""
    world.install(DETAIL.format(body=body))
    with (
        own_library.run(programs.path("own_library")) as program,
        world.tlstap("-p", program.pid) as tracer,
    ):
        for handle in (16, 17):
            program.do("write", handle, 5, 1)
            program.do("shake", handle)
    data = [event.data for event in tracer.events if event.kind == "data"]
    assert data == [own_library.payload(5)] * 2
    (line,) = [line for line in tracer.messages if BAD in line]
    assert line == (
        f"tlstap: plugin bad of tlstap-bad: tlstap_describe failed for sni ({reason}); "
        "what it fails for is shown as it is"
    )


SINK = """
class Bad(tlstap.Sink):
    def __init__(self, stream, options):
        self.stream = stream

    def write(self, record, seq):
        self.stream.write(f"{seq}\\n")
        if seq == 1:
            raise RuntimeError("no more")

@tlstap.hookimpl
def tlstap_sinks():
    return [tlstap.SinkType("bad", "help", Bad)]
"""


def test_an_output_format_that_fails_ends_the_trace(world: World, programs: Programs, tmp_path: Path) -> None:
    """What was written stays; there is no traceback."""
    world.install(DETAIL.format(body="return None") + SINK)
    output = tmp_path / "out"
    with own_library.run(programs.path("own_library")) as program:
        command = [str(TLSTAP), "-f", "bad", "-o", str(output), "-p", str(program.pid)]
        environment = os.environ | {"PYTHONPATH": str(world.packages)}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith(READY):
                    break
            program.do("write", 16, 5, 1)
            rest = process.stderr.read()
    assert process.returncode == 1
    assert rest == (
        "tlstap: plugin bad of tlstap-bad: its output format failed: write() raised RuntimeError: no more\n"
    )
    assert output.read_text() == "0\n1\n"


def test_the_doctor_says_so_too(world: World) -> None:
    world.install(asking(), "#error out of order\n")
    environment = os.environ | {"PYTHONPATH": str(world.packages)}
    done = subprocess.run([TLSTAP, "doctor"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if BAD in line]
    assert line.endswith(
        "plugin bad of tlstap-bad: badssl is not traced: "
        "its C does not compile: bad/part/bad.h:1: out of order"
    )
    assert "compiles and loads" in done.stdout

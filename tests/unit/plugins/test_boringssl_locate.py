"""The locator of BoringSSL's functions, on small libraries and programs of its shape."""

from __future__ import annotations

import platform
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.discovery.damaged import answers as answers_of
from tests.unit.plugins.boringssl_like import (
    INLINE,
    LIBRARY,
    OLD_LIBRARY,
    PEEK_ERROR,
    PROGRAM,
    READING,
    build,
)

from tlstap.discovery.elf import ElfImage
from tlstap.errors import NotLocatedError
from tlstap.location import Located
from tlstap.plugins.boringssl.locate import SIGNATURE, find

FUNCTIONS = ("SSL_read", "SSL_write", "SSL_do_handshake", "SSL_new", "SSL_set_tlsext_host_name")
X86_64 = platform.machine() == "x86_64"
STATIC = ("-no-pie", "-fno-pic", "-static", "-Wl,--unresolved-symbols=ignore-all", "-Wl,-e,run")
NO_UNWINDING = "-fno-asynchronous-unwind-tables"
MACHINE = (
    ["-fcf-protection=full", "-fno-plt", "-march=haswell"] if X86_64 else ["-mbranch-protection=standard"]
)
NOT_INLINED = "SSL_read was not inlined into any other function, so that one is probed"


def answers(path: Path) -> dict[str, Located | str]:
    """For each function where it is, or why it isn't found."""
    found: dict[str, Located | str] = {}
    with ElfImage.open(str(path)) as image:
        for function in (*FUNCTIONS, "SSL_peek"):
            try:
                found[function] = SIGNATURE.locate(image, function)
            except NotLocatedError as error:
                found[function] = str(error)
    return found


def refusals(path: Path) -> set[str]:
    """Why nothing is found."""
    found = answers(path)
    assert not [name for name, answer in found.items() if isinstance(answer, Located)]
    return {str(answer) for answer in found.values()}


def check(path: Path, truth: dict[str, int], **differing: str) -> dict[str, Located | str]:
    """All functions are found where they are, but for those that are refused with a certain reason."""
    found = answers(path)
    for function in FUNCTIONS:
        if function in differing:
            answer = found[function]
            assert isinstance(answer, str), f"{function} is at {answer.address:#x}"
            assert differing[function] in answer
        else:
            assert found[function] == Located(truth[function], by_signature=True), function
    return found


def call_sites(symbols: Path, callee: str, *callers: str) -> tuple[int, ...]:
    """Where calls in some functions return to, as the disassembler of binutils sees them."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", symbols], check=True, capture_output=True, text=True
    ).stdout
    returns, within, called = [], False, False
    for line in text.splitlines():
        if line.endswith(">:"):
            within = line.split("<")[1].removesuffix(">:") in callers
        elif within and ":\t" in line:
            if called:
                returns.append(int(line.partition(":")[0], 16))
            called = line.split()[1] in ("call", "bl") and line.endswith(f"<{callee}>")
    return tuple(sorted(returns))


OPTIONS = [
    (),
    ("-Os",),
    ("-O1", NO_UNWINDING),
    ("-Os", NO_UNWINDING),
    STATIC,
    ("-Os", NO_UNWINDING, *STATIC),
    *[(option,) for option in MACHINE],
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_function(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = check(*build(tmp_path, LIBRARY, *options))
    assert found["SSL_peek"] == NOT_INLINED


@pytest.mark.parametrize("options", [(), ("-Os", NO_UNWINDING)], ids=str)
def test_every_function_of_old_versions(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Where SSL_peek has nothing to report."""
    check(*build(tmp_path, OLD_LIBRARY, *options))


@pytest.mark.parametrize("option", ["-fplt", "-fno-plt"])
def test_errors_are_reported_elsewhere(tmp_path: Path, option: str) -> None:
    """By a call of a linkage stub, or through a pointer."""
    check(*build(tmp_path, LIBRARY, "-DREPORTER_ELSEWHERE", option))


def test_arguments_that_wait_on_the_stack(tmp_path: Path) -> None:
    """On aarch64 there are registers enough; it is the frame pointer alone there."""
    few = ("-ffixed-r12", "-ffixed-r13", "-ffixed-r14", "-ffixed-r15") if X86_64 else ()
    check(*build(tmp_path, LIBRARY, "-fno-omit-frame-pointer", *few))


@pytest.mark.parametrize("library", [LIBRARY, OLD_LIBRARY], ids=["new", "old"])
def test_reading_inlined_into_its_callers(tmp_path: Path, library: str) -> None:
    """What is left of SSL_read are calls of SSL_peek; that of is_alive is none of them."""
    path, truth = build(tmp_path, library, f"-DREAD={INLINE}")
    found = check(path, truth, SSL_read="it was inlined into 2 functions")
    returns = call_sites(tmp_path / "symbols", "SSL_peek", "read_all", "read_some")
    assert len(returns) == 3 and call_sites(tmp_path / "symbols", "SSL_peek", "is_alive")
    assert found["SSL_peek"] == Located(truth["SSL_peek"], by_signature=True, return_addresses=returns)


def test_reading_inlined_into_one_caller_and_not_into_others(tmp_path: Path) -> None:
    reading = LIBRARY.replace(
        "READ int SSL_read(",
        """static inline __attribute__((always_inline)) int inlined_read(SSL *, void *, int);
        NO_INLINE int SSL_read(SSL *ssl, void *buffer, int size) { return inlined_read(ssl, buffer, size); }
        static inline __attribute__((always_inline)) int inlined_read(""",
    )
    program = PROGRAM.replace("SSL_read(of->ssl, buffer, sizeof", "inlined_read(of->ssl, buffer, sizeof")
    path, truth = build(tmp_path, reading, program=program)
    found = check(path, truth)
    returns = call_sites(tmp_path / "symbols", "SSL_peek", "read_all")
    assert found["SSL_peek"] == Located(truth["SSL_peek"], by_signature=True, return_addresses=returns)


DEEP = """
    NO_INLINE int SSL_peek(SSL *ssl, void *buffer, int size) { return inlined_peek(ssl, buffer, size); }
    static inline __attribute__((always_inline)) int deep_read(SSL *ssl, void *buffer, int size) {
        int got = inlined_peek(ssl, buffer, size);
        if (got <= 0) return got;
        ssl->part->pending.data += got;
        ssl->part->pending.size -= got;
        return got;
    }
    READ int SSL_read(
"""


@pytest.mark.parametrize("inlined", [False, True])
def test_some_of_reading_inlined_with_what_looks(tmp_path: Path, inlined: bool) -> None:
    """What one function reads can't be seen; so reading can't be."""
    library = LIBRARY.replace("PEEK int SSL_peek(", f"{INLINE} int inlined_peek(").replace(
        "READ int SSL_read(", DEEP
    )
    program = PROGRAM.replace("SSL_read(of->ssl, buffer, sizeof", "deep_read(of->ssl, buffer, sizeof")
    path, truth = build(tmp_path, library, *([f"-DREAD={INLINE}"] if inlined else []), program=program)
    why = "it was inlined into 2 functions" if inlined else "it was inlined into other functions ("
    found = check(path, truth, SSL_read=why)
    assert found["SSL_peek"] == "SSL_read was inlined together with it into some functions"


def test_closing_is_not_reading(tmp_path: Path) -> None:
    """SSL_shutdown reads too, and what calls it may write the same words of something else."""
    program = PROGRAM.replace(
        "long run(",
        """NO_INLINE int finish(struct connection *of) {
            int done = SSL_shutdown(of->ssl);
            ((Part *)of->place)->pending.data = of->place;
            ((Part *)of->place)->pending.size = 0;
            return done;
        }
        long also(struct connection *of) { return finish(of) + 1; }
        long run(""",
    )
    check(*build(tmp_path, OLD_LIBRARY, program=program))


def test_all_of_reading_inlined_into_its_callers(tmp_path: Path) -> None:
    path, truth = build(tmp_path, LIBRARY, f"-DREAD={INLINE}", f"-DPEEK={INLINE}")
    found = check(path, truth, SSL_read="it was inlined into 2 functions")
    assert found["SSL_peek"] == "SSL_read was inlined together with it"


def test_what_reads_is_inlined_into_what_looks(tmp_path: Path) -> None:
    check(*build(tmp_path, LIBRARY, f"-DREAD_IMPL={INLINE}"))


def test_what_reads_is_inlined_into_what_looks_in_old_versions(tmp_path: Path) -> None:
    check(*build(tmp_path, OLD_LIBRARY, f"-DREAD_IMPL={INLINE}"))


def test_what_looks_is_inlined_into_what_reads(tmp_path: Path) -> None:
    """And into is_alive, which takes nothing away."""
    check(*build(tmp_path, LIBRARY, f"-DPEEK={INLINE}"))


def test_what_looks_is_inlined_into_what_writes_elsewhere(tmp_path: Path) -> None:
    """A word of something else, as far from its start as one of the two words that SSL_read writes."""
    program = PROGRAM.replace(
        "return SSL_peek(of->ssl, &one, 1) + 2;",
        "int got = SSL_peek(of->ssl, buffer, 9); ((Part *)of->place)->pending.data = 0; return got;",
    )
    assert program != PROGRAM
    check(*build(tmp_path, LIBRARY, f"-DPEEK={INLINE}", program=program))


def test_looking_alone_is_not_reading(tmp_path: Path) -> None:
    """What SSL_peek only looks at is not taken away: nothing tells which of the two is SSL_read."""
    reading = READING[: READING.index("ssl->part->pending.data += got;")] + "return got; }"
    library = LIBRARY.replace(
        READING.replace("PEEK_ERROR", PEEK_ERROR), reading.replace("PEEK_ERROR", PEEK_ERROR)
    )
    assert library != LIBRARY
    check(*build(tmp_path, library), SSL_read="nothing takes what was read")


def test_a_program_that_reads_with_arguments_of_its_own_for_ssl_read(tmp_path: Path) -> None:
    """It looks like SSL_read but reads twice, and what SSL_read returns is not what it returns."""
    twice = """
        NO_INLINE int read_twice(SSL *ssl, char *place, int size) {
            int got = SSL_read(ssl, place, size);
            return got == size ? SSL_read(ssl, place + got, 100) : -3;
        }
        long also(SSL *ssl, char *place) { return read_twice(ssl, place, 16) + read_twice(ssl, place, 5); }
    """
    path, truth = build(tmp_path, LIBRARY, f"-DREAD={INLINE}", f"-DPEEK={INLINE}", program=PROGRAM + twice)
    check(path, truth, SSL_read="it was inlined into 3 functions")
    path, truth = build(tmp_path, LIBRARY, f"-DREAD={INLINE}", program=PROGRAM + twice)
    found = check(path, truth, SSL_read="it was inlined into 3 functions")
    peek = found["SSL_peek"]
    assert isinstance(peek, Located) and peek.address == truth["SSL_peek"] and len(peek.return_addresses) == 5


def test_writing_inlined_into_its_callers(tmp_path: Path) -> None:
    step = "it was inlined into functions with other arguments"
    check(*build(tmp_path, LIBRARY, f"-DWRITE={INLINE}"), SSL_write=step, SSL_do_handshake=step)


def test_writing_inlined_into_its_only_caller(tmp_path: Path) -> None:
    """There is one function that reports what SSL_write does, but it isn't that."""
    program = PROGRAM.replace("return SSL_write(of->ssl, of->place, of->left) - 1;", "return 1;")
    step = "it was inlined into functions with other arguments"
    check(
        *build(tmp_path, LIBRARY, f"-DWRITE={INLINE}", program=program), SSL_write=step, SSL_do_handshake=step
    )


def test_writing_of_a_certain_length_inlined_into_its_only_caller(tmp_path: Path) -> None:
    """It has the connection and the buffer where SSL_write has them, but no length."""
    program = PROGRAM.replace("SSL_write(of->ssl, of->place, of->left)", "1").replace(
        "SSL_write(of->ssl, buffer, produce(buffer, times))", "write_five(of->ssl, buffer)"
    )
    five = "NO_INLINE int write_five(SSL *ssl, const char *from) { return SSL_write(ssl, from, 5) - 1; }"
    step = "it was inlined into functions with other arguments"
    path, truth = build(tmp_path, LIBRARY + five, f"-DWRITE={INLINE}", program=program)
    check(path, truth, SSL_write=step, SSL_do_handshake=step)


SUSPENDED = "if (ssl->words[1]) { ERROR(66); return -1; }"
EX = """
    NO_INLINE int SSL_write_ex(SSL *ssl, const void *buffer, size_t size, size_t *done) {
        %s
        int sent = inlined_write(ssl, buffer, (int)size);
        if (sent <= 0) return 0;
        *done = sent;
        return 1;
    }
    NO_INLINE int use_both(SSL *ssl, const char *from, size_t *done) {
        return SSL_write_ex(ssl, from, 3, done) + SSL_write_ex(ssl, from, 4, done) - 7;
    }
    int (*keep)() = use_both;
"""


def inlined_write(guard: str) -> str:
    write = "static inline __attribute__((always_inline)) int inlined_write("
    library = LIBRARY.replace("WRITE int SSL_write(", write)
    return library.replace(
        "NO_INLINE int SSL_shutdown(",
        f"""NO_INLINE int SSL_write(SSL *ssl, const void *buffer, int size) {{
            return inlined_write(ssl, buffer, size);
        }}
        {EX % guard}
        NO_INLINE int SSL_shutdown(""",
    )


def test_writing_inlined_into_another_way_to_write(tmp_path: Path) -> None:
    """SSL_write_ex of AWS-LC reports all that SSL_write does, and more."""
    check(*build(tmp_path, inlined_write(SUSPENDED)))


def test_two_ways_to_write_that_nothing_tells_apart(tmp_path: Path) -> None:
    step = "2 functions write ("
    check(*build(tmp_path, inlined_write("")), SSL_write=step, SSL_do_handshake=step)


def test_a_handshake_inlined_into_connecting_and_accepting(tmp_path: Path) -> None:
    library = LIBRARY.replace(
        "HANDSHAKE int SSL_do_handshake(",
        """static inline __attribute__((always_inline)) int inlined(SSL *);
        NO_INLINE int SSL_do_handshake(SSL *ssl) { return inlined(ssl); }
        static inline __attribute__((always_inline)) int inlined(""",
    ).replace(
        "return SSL_do_handshake(ssl);\n    }\n    NO_INLINE int SSL_accept",
        "return inlined(ssl); } int SSL_accept",
    )
    assert "return inlined(ssl); } int SSL_accept" in library
    check(*build(tmp_path, library))


def test_a_handshake_inlined_everywhere(tmp_path: Path) -> None:
    step = "0 functions perform the handshake for those that read and write"
    check(*build(tmp_path, LIBRARY, f"-DHANDSHAKE={INLINE}"), SSL_do_handshake=step)


@pytest.mark.parametrize(
    ("macro", "function"), [("NEW", "SSL_new"), ("SERVER_NAME", "SSL_set_tlsext_host_name")]
)
def test_small_functions_inlined_into_their_only_caller(tmp_path: Path, macro: str, function: str) -> None:
    differing = {function: "it was inlined into another function"}
    check(*build(tmp_path, LIBRARY, f"-D{macro}={INLINE}"), **differing)


def test_a_function_that_does_something_and_then_makes_a_connection(tmp_path: Path) -> None:
    """It is not SSL_new, although it makes and reports what that does, and calls nothing that is known."""
    program = PROGRAM.replace("SSL_new(context)", "ready(context)")
    ready = "NO_INLINE SSL *ready(void **context) { inform(0, 5); return SSL_new(context); }"
    path, truth = build(tmp_path, LIBRARY + ready, f"-DNEW={INLINE}", program=program)
    check(path, truth, SSL_new="what reports a missing context")


def test_both_of_the_small_functions_inlined_into_one(tmp_path: Path) -> None:
    """It reports what neither would alone."""
    program = PROGRAM.replace("return SSL_do_handshake(of->ssl) + 3;", "return 3;")
    check(
        *build(tmp_path, LIBRARY, f"-DNEW={INLINE}", f"-DSERVER_NAME={INLINE}", program=program),
        SSL_new="it was inlined into another function",
        SSL_set_tlsext_host_name="it was inlined into another function",
    )


# What isn't there


@pytest.mark.parametrize("path", ["", "\\\\?", "ssl_lib.c", "source"])
def test_no_name_of_the_source(tmp_path: Path, path: str) -> None:
    message = "the name of ssl_lib.cc, by which its functions are known, is not there"
    assert refusals(build(tmp_path, LIBRARY, path=path)[0]) == {message}


def test_a_name_that_nothing_refers_to(tmp_path: Path) -> None:
    library = 'const char name[] = "ssl/ssl_lib.cc";' + LIBRARY
    assert refusals(build(tmp_path, library, path="other")[0]) == {"no code refers to the name of ssl_lib.cc"}


def test_a_name_that_no_error_is_reported_with(tmp_path: Path) -> None:
    library = """
        extern void call(const char *, int, long, long, long, const char *, int);
        void named(SSL *ssl) {
            use(ssl, "ssl/ssl_lib.cc", 16);
            call("ssl/ssl_lib.cc", 226, 0, 0, 0, "", 0);
            call("", 16, 0, 0, 226, "ssl/ssl_lib.cc", 77);
        }
    """
    library += LIBRARY
    assert refusals(build(tmp_path, library, path="other")[0]) == {
        "no error is reported with the name of ssl_lib.cc"
    }


def test_few_errors(tmp_path: Path) -> None:
    library = """
        int SSL_read(SSL *ssl) { if (!ssl) { ERROR(226); return -1; } ERROR(215); return 0; }
    """
    assert refusals(build(tmp_path, library, program="")[0]) == {"only 2 places report errors of ssl_lib.cc"}


def test_errors_of_another_library(tmp_path: Path) -> None:
    """Or rather, what is called with the source's name but reports no error of this one."""
    other = """
        #undef ERROR
        #define ERROR(reason) ERR_put_error(17, 0, reason, __FILE__, __LINE__)
    """
    found = refusals(build(tmp_path, other + LIBRARY)[0])
    assert found == {"no error is reported with the name of ssl_lib.cc"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "if (!done) { ERROR(215); return -1; }\n            }\n            int got",
            "}\n int got",
            "1 lines report a failed",
        ),
        (
            "if (size > 99) { ERROR(142)",
            "if (size > 99) { ERROR(215)",
            "3 lines report a failed handshake, not 2",
        ),
        (
            "{ ERROR(226); return -1; }\n        while",
            "{ return -1; }\n        while",
            "that reading was not initialised",
        ),
        (
            "{ ERROR(226); return -1; }\n        int done",
            "{ return -1; }\n        int done",
            "that writing was not initialised",
        ),
    ],
)
def test_another_order_of_the_errors(tmp_path: Path, old: str, new: str, message: str) -> None:
    library = LIBRARY.replace("if (!ssl->handshake) { ERROR(226); return 0; }", "")
    assert old in library
    (found,) = refusals(build(tmp_path, library.replace(old, new))[0])
    assert message in found


def test_lines_in_another_order(tmp_path: Path) -> None:
    """SSL_write before what reads: then the first handshake that fails would be the wrong one's."""
    start = LIBRARY.index("WRITE int SSL_write(")
    writing = LIBRARY[start : LIBRARY.index("NO_INLINE int SSL_shutdown")]
    library = LIBRARY.replace(writing, "").replace("READ_IMPL int", writing + "READ_IMPL int", 1)
    found = answers(build(tmp_path, library)[0])
    assert not isinstance(found["SSL_read"], Located) and not isinstance(found["SSL_write"], Located)


def test_a_library_that_is_there_twice(tmp_path: Path) -> None:
    names = [line.split("int ")[1].split("(")[0] for line in LIBRARY.splitlines() if "INLINE int" in line]
    again = LIBRARY
    for name in [*names, "SSL_new", "SSL_read", "SSL_peek", "ssl_read_impl", "SSL_write", "SSL_do_handshake"]:
        again = again.replace(f"{name}(", f"other_{name}(")
    again = again.replace("SSL_set_tlsext_host_name(", "other_set_name(")
    library = f'{LIBRARY}\n# 100 "other/ssl_lib.cc"\n{again}'
    assert refusals(build(tmp_path, library)[0]) == {"the library is there twice"}


def test_a_second_name_that_little_refers_to(tmp_path: Path) -> None:
    again = 'int once(void) {\n# 5 "deps/ssl_lib.cc"\nERROR(226); return 1; }'
    check(*build(tmp_path, LIBRARY + again))


def test_damaged_files(tmp_path: Path) -> None:
    """Each function is found, or refused with a reason."""
    whole = build(tmp_path, LIBRARY)[0].read_bytes()
    chance = random.Random(7)

    def questions(image: ElfImage) -> Iterator[Callable[[], object]]:
        for function in (*FUNCTIONS, "SSL_peek"):
            yield lambda function=function: found_or_refused(image, function)

    def found_or_refused(image: ElfImage, function: str) -> Located | None:
        try:
            found = SIGNATURE.locate(image, function)
        except NotLocatedError as error:
            assert str(error)
            return None
        assert found.by_signature and image.is_code(found.address)
        return found

    answered = 0
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 20, 400])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        answered += answers_of(
            bytes(content[: chance.choice([len(content), chance.randrange(64, len(content))])]), questions
        )
    assert answered > 0, "some are damaged where it does not matter"


def test_a_function_that_has_no_signature(tmp_path: Path) -> None:
    with ElfImage.open(str(build(tmp_path, LIBRARY)[0])) as image, pytest.raises(NotLocatedError) as caught:
        SIGNATURE.locate(image, "SSL_free")
    assert str(caught.value) == "no signature is known for it"


def test_symbols_come_first(tmp_path: Path) -> None:
    """But SSL_peek's tells nothing about who calls it."""
    _, truth = build(tmp_path, LIBRARY)
    with ElfImage.open(str(tmp_path / "symbols")) as image:
        assert find(image, "SSL_read") == truth["SSL_read"]
        with pytest.raises(NotLocatedError, match=NOT_INLINED):
            find(image, "SSL_peek")
    with ElfImage.open(str(tmp_path / "stripped")) as image:
        assert find(image, "SSL_read") == Located(truth["SSL_read"], by_signature=True)

"""OpenSSL's functions without symbols, on small libraries of its shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.plugins.openssl_like import EVERYTHING, OLD, OTHERS, READ, USE, WRITE, build

from tlstap.discovery.elf import ElfImage
from tlstap.errors import NotLocatedError
from tlstap.location import Located
from tlstap.plugins.openssl.locate import locate
from tlstap.registry import Registry

INTERNAL = ("ssl_read_internal", "ssl_write_internal", "ssl_write_internal_flags")
EXPORTED = ("SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex", "SSL_write_ex2")
OTHER = ("SSL_do_handshake", "SSL_new", "SSL_clear", "ssl3_ctrl")
ALIKE = {"ssl_write_internal_flags": "ssl_write_internal"}


def located(path: Path) -> dict[str, Located | str]:
    """What is answered for each function: a place, or the reason why there is none."""
    answers: dict[str, Located | str] = {}
    with ElfImage.open(str(path)) as image:
        for name in (*INTERNAL, *EXPORTED, *OTHER):
            try:
                answer = locate(image, name)
            except NotLocatedError as error:
                answers[name] = str(error)
            else:
                assert isinstance(answer, Located) and answer.by_signature
                answers[name] = answer
    return answers


def found(answers: dict[str, Located | str]) -> dict[str, int]:
    return {name: answer.address for name, answer in answers.items() if isinstance(answer, Located)}


def reason(answers: dict[str, Located | str], name: str) -> str:
    answer = answers[name]
    assert isinstance(answer, str), f"{name} is at {answer.address:#x}"
    return answer


def expected(table: dict[str, int], *names: str) -> dict[str, int]:
    return {name: table[ALIKE.get(name, name)] for name in names}


OPTIONS = [(), ("-Os",), ("-O1",), ("-fno-pic", "-no-pie", "-static", "-fno-asynchronous-unwind-tables")]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("version", "write"), [(111, INTERNAL[1]), (300, INTERNAL[1]), (330, INTERNAL[2])])
def test_the_internal_functions(tmp_path: Path, version: int, write: str, options: tuple[str, ...]) -> None:
    library, table = build(tmp_path, EVERYTHING + USE, *options, version=version)
    answers = located(library)
    names = ("ssl_read_internal", write, "SSL_read", "SSL_write", *OTHER)
    assert found(answers) == expected(table, *names)
    other = "ssl_write_internal" if version >= 330 else "ssl_write_internal_flags"
    assert reason(answers, other).startswith("it stores how much it moved by argument ")
    assert reason(answers, "SSL_read_ex").endswith("ssl_read_internal stands for it")


KEPT = """
    int (*kept[])() = {(int (*)())ssl_read_internal, (int (*)())ssl_write_internal};
"""
INLINED = "-DINTERNAL=static inline __attribute__((always_inline))"


@pytest.mark.parametrize("options", [(), ("-fno-pic", "-no-pie", "-static", "-Wl,--eh-frame-hdr")])
@pytest.mark.parametrize(
    ("version", "exported"), [(111, EXPORTED[:4]), (300, EXPORTED[:4]), (330, EXPORTED)], ids=str
)
def test_what_they_were_put_into(
    tmp_path: Path, version: int, exported: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """Copies of them are called by nothing that is looked at, as in node."""
    library, table = build(tmp_path, EVERYTHING + KEPT, INLINED, *options, version=version)
    answers = located(library)
    assert found(answers) == expected(table, *exported, *OTHER)
    assert reason(answers, "ssl_read_internal").startswith("3 functions report errors by its name")


def test_a_copy_that_looks_like_what_it_was_put_into(tmp_path: Path) -> None:
    source = (EVERYTHING + KEPT).replace("error(276); return -1;", "error(276); return 0;")
    answers = located(build(tmp_path, source, INLINED)[0])
    assert reason(answers, "SSL_read_ex").startswith("it can't be told from ssl_read_internal")
    assert {"SSL_read", "SSL_write"} <= found(answers).keys()


def test_an_internal_function_in_one_other(tmp_path: Path) -> None:
    source = OTHERS + READ.partition("    int SSL_read_ex")[0]
    library, table = build(tmp_path, source, INLINED)
    answers = located(library)
    assert reason(answers, "ssl_read_internal") == "the compiler has put it into SSL_read"
    assert found(answers)["SSL_read"] == table["SSL_read"]


def test_before_there_were_internal_functions(tmp_path: Path) -> None:
    library, table = build(tmp_path, OTHERS + OLD, version=102)
    answers = located(library)
    assert found(answers) == expected(table, "SSL_read", "SSL_write", *OTHER[:3])
    assert reason(answers, "ssl_read_internal").startswith("no functions report errors by its name")
    assert "no error is reported by the name of ssl_write_internal" in reason(answers, "SSL_write_ex")


def test_a_function_that_was_put_into_another(tmp_path: Path) -> None:
    """SSL_dup contains SSL_new, and more."""
    dup = """
        SSL *SSL_dup(SSL *s, void **context) {
            SSL *other = wait_for(s) ? SSL_new(context) : 0;
            if (other) SSL_clear(other);
            return other;
        }
    """
    source = EVERYTHING.replace("SSL *SSL_new(", "inline __attribute__((always_inline)) SSL *SSL_new(")
    keep = "SSL *(*new)(void **) = SSL_new; extern SSL *SSL_new(void **);"
    library, table = build(tmp_path, source + dup + keep)
    assert found(located(library))["SSL_new"] == table["SSL_new"]


def twin(name: str, result: str) -> str:
    """Another function that reports that function's errors."""
    return f"""
        #define __func__ "{name}"
        {result} SSL_twin(SSL *s, void *buf, int num) {{
            if (num < 0) {{ error(271); return 0; }}
            return ({result})(long)s->method->read(s, buf, num, 0);
        }}
        #undef __func__
    """


@pytest.mark.parametrize("name", ["SSL_read", "SSL_do_handshake", "SSL_clear", "ssl3_ctrl"])
def test_two_that_report_the_same(tmp_path: Path, name: str) -> None:
    source = twin(name, "int")
    if name == "ssl3_ctrl":
        source = '#line 500 "ssl/s3_lib.c"\n' + source
    answers = located(build(tmp_path, EVERYTHING + source)[0])
    assert " functions report errors by its name" in reason(answers, name)
    assert {"ssl_read_internal", "ssl_write_internal", "SSL_write"} <= found(answers).keys()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("read(s, buf, num, readbytes)", "read(buf, (void *)s, num, readbytes)"),
        ("read(s, buf, num, readbytes)", "read(s, buf, (size_t)readbytes, (size_t *)num)"),
        ("read(s, buf, num, readbytes)", "read(s, readbytes, num, buf)"),
        ("read(s, buf, num, readbytes)", "read(s, buf, num, (size_t *)s)"),
    ],
)
def test_arguments_that_are_not_handed_on(tmp_path: Path, old: str, new: str) -> None:
    assert old in EVERYTHING
    answers = located(build(tmp_path, EVERYTHING.replace(old, new))[0])
    assert "does not show without doubt" in reason(answers, "ssl_read_internal")
    assert "ssl_write_internal" in found(answers)


def test_a_caller_that_hands_on_something_else(tmp_path: Path) -> None:
    source = EVERYTHING.replace(
        "ret = ssl_read_internal(s, buf, num, &n)", "ret = ssl_read_internal(buf, s, num, &n)"
    )
    answers = located(build(tmp_path, source)[0])
    assert "does not hand its arguments on" in reason(answers, "SSL_read")


def test_a_caller_that_passes_no_flags(tmp_path: Path) -> None:
    source = EVERYTHING.replace(
        "ssl_write_internal(s, buf, num NO_FLAGS, &n)", "ssl_write_internal(s, buf, num, 7, &n)"
    )
    answers = located(build(tmp_path, source, version=330)[0])
    assert "disagree on whether it takes flags" in reason(answers, "ssl_write_internal_flags")
    assert "ssl_write_internal" not in found(answers)


FILES = """
    NOIPA void put_file(const char *name) {}
    #define put(reason) put_file(__FILE__)
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            EVERYTHING + '#line 1 "b/ssl_lib.c"\n' + OTHERS.replace("SSL_", "TWO_"),
            "the library is there twice",
        ),
        (
            '#line 1 ""\n' + OTHERS + READ + WRITE,
            "ssl_lib.c or s3_lib.c, by whose name its functions are known",
        ),
        (READ, "only 2 places report errors"),
        (FILES + EVERYTHING.replace("error(", "put("), "only 0 places report errors"),
    ],
    ids=["twice", "no name", "too few", "no reports"],
)
@pytest.mark.parametrize("version", [111, 300])
def test_another_library(tmp_path: Path, source: str, message: str, version: int) -> None:
    answers = located(build(tmp_path, source, version=version)[0])
    assert found(answers) == {}
    assert all(message in reason(answers, name) for name in answers), answers["SSL_read"]


def test_a_few_exported_functions(tmp_path: Path) -> None:
    """As in rustup's cargo, once stripped."""
    export = '__attribute__((visibility("default"))) int SSL_read_ex'
    library, table = build(tmp_path, EVERYTHING.replace("int SSL_read_ex", export))
    with ElfImage.open(str(library)) as image:
        assert locate(image, "SSL_read_ex") == table["SSL_read_ex"]
        internal = locate(image, "ssl_read_internal")
        assert isinstance(internal, Located) and internal.by_signature
        assert internal.address == table["ssl_read_internal"]


def test_no_signature_of_libressl(tmp_path: Path) -> None:
    library, table = build(tmp_path, EVERYTHING)
    registry = Registry.load()
    with ElfImage.open(str(library)) as image:
        with pytest.raises(NotLocatedError, match="is not known"):
            registry.locate(image, registry.libraries["libressl"], "SSL_read")
        answer = registry.locate(image, registry.libraries["openssl"], "SSL_read")
    assert answer == Located(table["SSL_read"], by_signature=True)


def test_where_nothing_tells_where_functions_begin(tmp_path: Path) -> None:
    """Nobody calls SSL_read and its like, and there is no unwind information."""
    library, table = build(tmp_path, EVERYTHING, *OPTIONS[3])
    answers = located(library)
    assert "begins can't be told" in reason(answers, "SSL_read")
    assert found(answers).items() <= table.items()

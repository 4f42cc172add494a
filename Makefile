# On Debian 12 and later, as root or as a user with sudo. Everything lands in this checkout (.venv, build),
# except Debian packages, the caches in ~/.cache, and what `make install` puts to $(PREFIX) and $(LAUNCHER).

.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMPS := build/stamps
PREFIX ?= /opt/tlstap
LAUNCHER ?= /usr/local/bin/tlstap
# Also set in ROOT's environment, since sudo drops it.
TEST_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tlstap-tests

# bcc comes from Debian (PyPI's bcc is another project), so the environment sees the system's packages.
RUN_PACKAGES := python3 python3-venv python3-bpfcc
DEMO_PACKAGES := $(RUN_PACKAGES) curl openssl
TEST_PACKAGES := $(DEMO_PACKAGES) nginx gcc libc6-dev libssl-dev util-linux \
    libgnutls28-dev gnutls-bin wget git aria2 \
    libnss3-dev libnspr4-dev libnss3-tools firefox-esr chromium binutils nghttp2-client \
    lighttpd lighttpd-mod-openssl lighttpd-mod-wolfssl lighttpd-mod-mbedtls libmbedtls-dev python3-pygit2 \
    android-libboringssl-dev libwolfssl-dev redis-server redis-tools
BENCH_PACKAGES := $(TEST_PACKAGES) wrk bpfcc-tools bpftrace
# Debian 12 has virtiofsd in a package that qemu depends on.
KERNEL_PACKAGES = $(TEST_PACKAGES) qemu-system-x86 busybox-static $(shell apt-cache pkgnames virtiofsd 2>/dev/null)

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Tests that run as root leave no files of root's in the checkout.
ROOT := $(SUDO) env TLSTAP_TEST_CACHE=$(TEST_CACHE) PYTHONDONTWRITEBYTECODE=1
PYTEST := $(BIN)/python -m pytest
# Tests run beside one another, those of a file in one process. Applications take turns.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist loadfile

# Of fuzzing, for each target.
SECONDS ?= 60

.PHONY: help demo test check unit fetch bpf apps kernels fuzz bench bench-decoders screenshot install uninstall clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(STAMPS)/demo ## trace a real curl that talks to a local HTTPS server
	$(BIN)/python -m scripts.demo

test: check unit bpf apps ## style, types, unit tests, real probes, real applications

check: $(STAMPS)/test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy -p tests.support -p tests.bpf -p tests.apps -p tests.kernels -p tests.fuzz -p bench -p scripts
	set -e; for file in examples/*/src/*/__init__.py; do package=$$(dirname $$file); \
	    MYPYPATH=$$(dirname $$package) $(BIN)/mypy -p $$(basename $$package); done

unit: fetch ## tests without root and without a kernel
	TLSTAP_TEST_CACHE=$(TEST_CACHE) $(PYTEST) $(PARALLEL) tests/unit

fetch: $(STAMPS)/test ## what tests need from the network besides, into the cache
	TLSTAP_TEST_CACHE=$(TEST_CACHE) $(BIN)/python -m tests.support.fetch

bpf: fetch ## real probes on small programs
	$(ROOT) $(PYTEST) $(PARALLEL) -p no:cacheprovider tests/bpf

apps: fetch ## real probes on real applications
	$(ROOT) $(PYTEST) -p no:cacheprovider tests/apps

kernels: $(STAMPS)/kernels ## Debian's stock kernels, emulated: takes minutes, not part of `make test`
	mkdir -p $(TEST_CACHE)
	$(ROOT) $(BIN)/python -m tests.kernels.run $(KERNELS)

fuzz: $(STAMPS)/test ## look for inputs that break a decoder, SECONDS=60 for each target
	$(BIN)/pip install -q -e '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS)

bench-decoders: $(STAMPS)/test ## how fast the decoders are, beside h11, h2 and wsproto
	$(BIN)/python -m bench.decoders

bench: $(STAMPS)/bench ## requests per second beside sslsniff and bpftrace
	$(ROOT) $(BIN)/python -m bench.run

screenshot: $(STAMPS)/demo ## the demo's output as docs/screenshot.svg
	$(BIN)/python -m scripts.demo -f json >build/demo.json
	$(BIN)/python docs/screenshot.py build/demo.json docs/screenshot.svg

install: $(STAMPS)/run ## put tlstap where root's PATH finds it
	rm -rf build/wheels
	$(BIN)/pip wheel -q -w build/wheels .
	$(SUDO) scripts/install build/wheels $(PREFIX) $(LAUNCHER)

uninstall: ## undo `make install`
	$(SUDO) scripts/uninstall $(PREFIX) $(LAUNCHER)

clean: ## remove what was made in this checkout
	rm -rf build dist $(VENV) core/tlstap.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second run installs nothing. They age with what they were made from.

$(STAMPS):
	mkdir -p $@

$(BIN)/python: | $(STAMPS)
	scripts/apt-install $(RUN_PACKAGES)
	/usr/bin/python3 -m venv --system-site-packages $(VENV)

$(STAMPS)/run: $(BIN)/python pyproject.toml | $(STAMPS)
	$(BIN)/python -c 'import bcc' 2>/dev/null || scripts/apt-install $(RUN_PACKAGES)
	$(BIN)/pip install -q -e .
	touch $@

$(STAMPS)/demo: $(STAMPS)/run
	scripts/apt-install $(DEMO_PACKAGES)
	touch $@

$(STAMPS)/test: $(BIN)/python pyproject.toml Makefile | $(STAMPS)
	scripts/apt-install $(TEST_PACKAGES)
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

$(STAMPS)/kernels: $(STAMPS)/test
	scripts/apt-install $(KERNEL_PACKAGES)
	touch $@

$(STAMPS)/bench: $(STAMPS)/test
	scripts/apt-install $(BENCH_PACKAGES)
	touch $@

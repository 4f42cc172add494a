"""`python -m tests.support.fetch` gets all that tests need from the network into the cache.

That is about 290 MB, 520 MB unpacked, once; afterwards nothing is fetched. The mirrors are those of the
machine's own apt sources, and what pip and npm are set up for. Without it, each test fetches what it needs.
"""

from __future__ import annotations

import sys

from tests.support import bun, gnutls, http2_cases, node, nss, openssl


def main() -> None:
    """Fetch everything and say what it is."""
    try:
        for suite in openssl.SUITES:
            version = openssl.available(suite)
            print(f"OpenSSL {version.version} ({suite.name}) in {version.root}")
        newer = gnutls.available()
        print(f"GnuTLS {newer.version} in {newer.root}")
        print(f"Thunderbird's NSS in {nss.thunderbird()}")
        print(f"libcurl with NSS in {nss.curl_nss().root}")
        print(f"Node.js {node.VERSION} in {node.available().folder}")
        print(f"Test cases of HTTP/2 decoders in {http2_cases.available()}")
        print(f"Bun {bun.VERSION} in {bun.available()}")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""Firefox without a window: loads a page of the test nginx and ends; off the network, in its own profile."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.groups import group
from tests.support.nss import make_database

# What is not on loopback goes to a proxy that is not there, names included: nothing reaches the network.
_PREFERENCES: dict[str, str | int | bool] = {
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_port": 9,
    "network.proxy.socks_remote_dns": True,
    # What Firefox would do beside loading the page.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.cache.disk.enable": False,
    "browser.cache.memory.enable": False,
    "browser.newtabpage.enabled": False,
    "browser.region.network.url": "",
    "browser.region.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "geo.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.http.http3.enable": False,
    "network.http.speculative-parallel-limit": 0,
    "network.predictor.enabled": False,
    "network.prefetch-next": False,
    "network.trr.mode": 5,
    "security.OCSP.enabled": 0,
    "security.remote_settings.crlite_filters.enabled": False,
    "security.remote_settings.intermediates.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
}


@dataclass(frozen=True)
class Firefox:
    """An installation: the folder with the executable and the libraries that Firefox brings along."""

    folder: Path

    @property
    def executable(self) -> Path:
        """The file that its processes run."""
        return self.folder / "firefox-esr"

    @property
    def libssl3(self) -> Path:
        """Its NSS."""
        return self.folder / "libssl3.so"

    def load(self, url: str, folder: Path, authority: Path) -> int:
        """Load a page with all that belongs to it; returns the process id, when all of Firefox has ended.

        :param folder: an empty folder for the profile and whatever else Firefox writes.
        :param authority: the certificate authority that it trusts (PEM).
        :raises AssertionError: it failed, or took longer than a minute.
        """
        profile = make_database(folder / "profile", authority)
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(_PREFERENCES[name])});" for name in _PREFERENCES]
        (profile / "user.js").write_text("\n".join(lines) + "\n")
        picture, log = folder / "page.png", folder / "log"
        command: list[str | Path] = [
            self.executable, "--headless", "--no-remote", "--profile", profile, "--screenshot", picture, url
        ]  # fmt: skip
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "MOZ_CRASHREPORTER_DISABLE": "1",
            "MOZ_REMOTE_SETTINGS_DEVTOOLS": "1",  # or services.settings.server is ignored
        }
        with group(command, environment, log, log) as process:
            status = process.wait(timeout=60)
        assert status == 0, f"Firefox's exit status is {status}: {log.read_text()}"
        assert picture.exists(), f"Firefox did not load {url}: {log.read_text()}"
        return process.pid


def installed() -> Firefox:
    """The system's Firefox."""
    found = shutil.which("firefox-esr")
    assert found, "there is no firefox-esr; `make test` installs it"
    return Firefox(Path(found).resolve().parent)


def private_copy(original: Firefox, folder: Path, libssl3: Path) -> Firefox:
    """The same Firefox with another libssl3.so, in an empty folder. All other files are links."""
    for file in original.folder.iterdir():
        if file != original.executable and file != original.libssl3:
            (folder / file.name).symlink_to(file)
    # Firefox looks for its libraries beside the file that it runs, links resolved.
    shutil.copy(original.executable, folder / original.executable.name)
    shutil.copy(libssl3, folder / original.libssl3.name)
    return Firefox(folder)

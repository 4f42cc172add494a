"""The version of the plugin contract, and the question whether it suffices."""

from __future__ import annotations

from importlib.metadata import version

from tlstap.errors import PluginError
from tlstap.hookspecs import CONTRACT


def requires_contract(needed: int) -> None:
    """Say at the beginning of a plugin which version of the contract it needs: `tlstap.requires_contract(1)`.

    :param needed: the version in which the newest thing that the plugin uses came.
    :raises PluginError: this tlstap has an older one.
    """
    if needed > CONTRACT:
        raise PluginError(
            f"needs version {needed} of the plugin contract; tlstap {version('tlstap')} has {CONTRACT}: "
            "upgrade tlstap"
        )

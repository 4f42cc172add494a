"""All that tlstap brings along, with a schema for gRPC."""

from __future__ import annotations

from tests.fuzz.grpc_units import protoset
from tlstap.protocols.body_formats import BodyOptions
from tlstap.registry import Registry

REGISTRY = Registry.load(third_party=(), body_options=BodyOptions(protosets=(protoset(),)))

"""The pieces of a HAR document, by the names of the standard; what it does not have begins with "_".

What is None is left out of the JSON. Times of day are ISO 8601 in UTC, spans milliseconds.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticSerializationError, to_json

from tlstap.sinks.escape import escape_json


class Part(BaseModel):
    """Base of the pieces."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=AliasGenerator(serialization_alias=to_camel)
    )

    def json_text(self) -> str:
        """JSON, safe for a terminal. Lone surrogates, which no reader would take, are written as \\udcXX."""
        try:
            text = self.model_dump_json(by_alias=True, exclude_none=True)
        except PydanticSerializationError:
            fields = _without_surrogates(self.model_dump(by_alias=True, exclude_none=True))
            text = to_json(fields, inf_nan_mode="null").decode()
        return escape_json(text)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


class Creator(Part):
    """The program that wrote the document."""

    name: str
    version: str


class NameValue(Part):
    """A header, a parameter of the query or of a form."""

    name: str
    value: str


class Cookie(Part):
    """A cookie; `same_site` is not in the standard, but what browsers write."""

    name: str
    value: str
    path: str | None = None
    domain: str | None = None
    expires: str | None = None
    http_only: bool | None = None
    secure: bool | None = None
    same_site: str | None = None


class PostData(Part):
    """A request's body. `encoding` is not in the standard: readers that know it have it from `Content`."""

    mime_type: str
    params: tuple[NameValue, ...] | None = None
    text: str | None = None
    encoding: Literal["base64"] | None = None
    comment: str | None = None


class Content(Part):
    """A response's body; `size` and `compression` are bytes, the latter how many the coding saved."""

    size: int
    compression: int | None = None
    mime_type: str
    text: str | None = None
    encoding: Literal["base64"] | None = None
    comment: str | None = None


class UnknownHeader(Part):
    """See `schema.UnknownHeader`."""

    position: int
    name: str | None = None
    value: str | None = None


class _Message(Part):
    http_version: str
    cookies: tuple[Cookie, ...] = ()
    headers: tuple[NameValue, ...] = ()
    headers_size: int = -1
    body_size: int = -1
    trailers: tuple[NameValue, ...] | None = Field(default=None, serialization_alias="_trailers")
    unknown_headers: tuple[UnknownHeader, ...] | None = Field(
        default=None, serialization_alias="_unknownHeaders"
    )


class Request(_Message):
    """A request. `target` is the request target as it was sent, where the URL does not end in it."""

    method: str
    url: str
    query_string: tuple[NameValue, ...] = ()
    post_data: PostData | None = None
    target: str | None = Field(default=None, serialization_alias="_target")
    protocol: str | None = Field(default=None, serialization_alias="_protocol")


class Response(_Message):
    """A response; `status` is 0 where there is none."""

    status: int
    status_text: str = ""
    content: Content
    redirect_url: str = Field(default="", serialization_alias="redirectURL")
    transfer_size: int | None = Field(default=None, serialization_alias="_transferSize")


class Informational(Part):
    """A 1xx response."""

    status: int
    status_text: str
    headers: tuple[NameValue, ...]


class Timings(Part):
    """Spans; -1 does not apply. The standard wants 0 or more of the last three, also where unknown."""

    blocked: float = -1
    dns: float = -1
    connect: float = -1
    ssl: float = -1
    send: float = 0
    wait: float = 0
    receive: float = 0

    @property
    def total(self) -> float:
        """The sum of those that apply."""
        return round(self.send + self.wait + self.receive, 3)


class Cache(Part):
    """Nothing is known of caches."""


class Missing(Part):
    """See `schema.Missing`."""

    part: str
    reason: str
    bytes: int | None = None


class Process(Part):
    """Who made the exchange."""

    pid: int
    comm: str
    exe: str | None
    container: str | None
    uid: int


class Library(Part):
    """The TLS library."""

    name: str
    version: str | None
    path: str | None


class Tls(Part):
    """What is known of the TLS connection."""

    version: str | None
    cipher: str | None
    alpn: str | None
    sni: str | None


class Endpoint(Part):
    """One end of the TCP connection."""

    address: str
    port: int


class Entry(Part):
    """An exchange."""

    started_date_time: str
    time: float
    request: Request
    response: Response
    cache: Cache = Cache()
    timings: Timings
    server_ip_address: str | None = Field(default=None, serialization_alias="serverIPAddress")
    connection: str
    comment: str | None = None
    connection_id: str = Field(serialization_alias="_connectionId")
    stream_id: int | None = Field(default=None, serialization_alias="_streamId")
    resource_type: str | None = Field(default=None, serialization_alias="_resourceType")
    role: Literal["client", "server"] | None = Field(default=None, serialization_alias="_role")
    complete: bool = Field(serialization_alias="_complete")
    missing: tuple[Missing, ...] | None = Field(default=None, serialization_alias="_missing")
    reset: str | None = Field(default=None, serialization_alias="_reset")
    pushed: Literal[True] | None = Field(default=None, serialization_alias="_pushed")
    informational: tuple[Informational, ...] | None = Field(
        default=None, serialization_alias="_informational"
    )
    process: Process = Field(serialization_alias="_process")
    library: Library = Field(serialization_alias="_library")
    tls: Tls = Field(serialization_alias="_tls")
    local: Endpoint | None = Field(default=None, serialization_alias="_local")
    remote: Endpoint | None = Field(default=None, serialization_alias="_remote")
    inferred: Literal[True] | None = Field(default=None, serialization_alias="_addressInferred")

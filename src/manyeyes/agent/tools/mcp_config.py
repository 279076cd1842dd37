"""What people write about MCP servers in a file, as other programs have it, too.

    {"mcpServers": {"files": {"command": "npx", "args": ["-y", "server-files"], "env": {"TOKEN": "${FILES_TOKEN}"}},
                    "wiki":  {"url": "http://localhost:8000/mcp", "headers": {"Authorization": "Bearer ${WIKI}"}}}}

`${NAME}` comes from the environment of whoever reads the file, so that no key need stand in it.

Report: App. D (toolset).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote_plus, urlsplit

import msgspec

from manyeyes.core.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_SECRET = re.compile(
    r"key|token|secret|passw|auth|credential|bearer|cookie|private|(?<![a-z])(pat|pwd|jwt|dsn|sig)(?![a-z])",
    re.IGNORECASE,
)
"""In the name of what holds a secret: a variable, a header, an option, a part of an address."""
_OPTION = re.compile(r"-{1,2}([\w-]+)(?:=(.*))?", re.DOTALL)
SHORTEST_SECRET = 8
"""Characters; shorter values would be struck out of everything that is written."""


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server, as it stands in a file of `mcpServers`; a program that speaks over its pipes, or an address.

    Attributes:
        name: of the server.
        command, args, env, cwd: of a program.
        url, headers: of an address that speaks streamable HTTP.
        disabled: leave it out.
        seconds: that a call may take.
        hidden: more that is never to be written, such as what a `${NAME_TOKEN}` among the arguments stands for.

    Example:
        >>> McpServer(name="wiki", url="http://localhost:8000/mcp").url
        'http://localhost:8000/mcp'
    """

    name: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = {}
    disabled: bool = False
    seconds: float = 60.0
    hidden: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that are never to be written, as their names tell."""
        places = (*self.env.items(), *self.headers.items(), *_options(self.args), *_in_address(self.url))
        named = [*self.hidden, *(value for name, value in places if _SECRET.search(name))]
        words = [word for value in named for word in (value, *value.split())]
        return tuple(dict.fromkeys(word for word in words if len(word) >= SHORTEST_SECRET))


def _options(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options of a command line and their values: --name=value, --name value."""
    for argument, after in zip(args, (*args[1:], ""), strict=False):
        if option := _OPTION.fullmatch(argument):
            yield option[1], after if option[2] is None else option[2]


def _in_address(url: str) -> Iterator[tuple[str, str]]:
    """What stands in an address beside the place: its password, and its query as written and as meant."""
    try:
        parts = urlsplit(url)
        yield "password", parts.password or ""
    except ValueError:
        return
    for name, equals, value in (pair.partition("=") for pair in parts.query.split("&")):
        if equals:
            yield from ((name, value), (name, unquote_plus(value)))


class _File(msgspec.Struct):
    servers: dict[str, McpServer] = msgspec.field(name="mcpServers")


def read_servers(content: bytes | str, environment: Mapping[str, str]) -> tuple[McpServer, ...]:
    """The servers of a file, those that are disabled left out.

    Args:
        content: JSON; what it says beside `mcpServers` is not looked at.
        environment: where `${NAME}` and `${NAME:-default}` come from.

    Raises:
        ConfigError: it is no such file, or names a variable that is not set.
    """
    try:
        found = msgspec.json.decode(content, type=_File).servers
    except msgspec.DecodeError as error:
        raise ConfigError(
            f'expected JSON of the form {{"mcpServers": {{"name": {{"command": …}}}}}}: {error}'
        ) from None
    return tuple(_filled(name, server, environment) for name, server in found.items() if not server.disabled)


def _filled(name: str, server: McpServer, environment: Mapping[str, str]) -> McpServer:
    if bool(server.command) == bool(server.url):
        raise ConfigError(f"the MCP server {name!r} needs either a command or a url")

    hidden = list(server.hidden)

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1], match[2])
        if found is None:
            raise ConfigError(f"the MCP server {name!r} uses ${{{match[1]}}}, which is not set in the environment")
        if _SECRET.search(match[1]):
            hidden.append(found)
        return found

    def filled(text: str) -> str:
        return _VARIABLE.sub(value, text)

    made = msgspec.structs.replace(
        server, name=name, command=filled(server.command), args=tuple(map(filled, server.args)), url=filled(server.url),
        env={key: filled(text) for key, text in server.env.items()},
        headers={key: filled(text) for key, text in server.headers.items()},
    )  # fmt: skip
    return msgspec.structs.replace(made, hidden=tuple(hidden))

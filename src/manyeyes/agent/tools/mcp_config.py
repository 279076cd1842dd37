"""What people write about MCP servers in a file, as other programs have it, too.

    {"mcpServers": {"files": {"command": "npx", "args": ["-y", "server-files"], "env": {"TOKEN": "${FILES_TOKEN}"}},
                    "wiki":  {"url": "http://localhost:8000/mcp", "headers": {"Authorization": "Bearer ${WIKI}"}}}}

`${NAME}` comes from the environment of whoever reads the file, so that no key need stand in it.

Report: App. D (toolset).
"""

import re
from collections.abc import Mapping

import msgspec

from manyeyes.core.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_SECRET = re.compile(r"key|token|secret|passw|auth|credential", re.IGNORECASE)
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

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that are never to be written, as their names tell."""
        named = [value for name, value in (*self.env.items(), *self.headers.items()) if _SECRET.search(name)]
        words = [word for value in named for word in (value, *value.split())]
        return tuple(dict.fromkeys(word for word in words if len(word) >= SHORTEST_SECRET))


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

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1], match[2])
        if found is None:
            raise ConfigError(f"the MCP server {name!r} uses ${{{match[1]}}}, which is not set in the environment")
        return found

    def filled(text: str) -> str:
        return _VARIABLE.sub(value, text)

    return msgspec.structs.replace(
        server, name=name, command=filled(server.command), args=tuple(map(filled, server.args)), url=filled(server.url),
        env={key: filled(text) for key, text in server.env.items()},
        headers={key: filled(text) for key, text in server.headers.items()},
    )  # fmt: skip

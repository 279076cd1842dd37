"""A small MCP server made with the official SDK: mcp_child.py stdio | mcp_child.py http PORT | mcp_child.py silent."""

import asyncio
import io
import os
import sys

from mcp.server.fastmcp import FastMCP, Image
from mcp.types import ToolAnnotations
from PIL import Image as Pillow
from pydantic import BaseModel

mode = sys.argv[1]
if mode == "silent":
    sys.stdin.read()
    sys.exit(0)
if mode == "broken":
    print("this server has no luck with its-secret-value", file=sys.stderr)
    sys.exit(3)

server = FastMCP("small", port=int(sys.argv[2]) if mode == "http" else 1, log_level="ERROR")


class Place(BaseModel):
    name: str
    height: float = 0.0


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def add(a: int, b: int = 2) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def place(at: Place, tags: list[str]) -> str:
    """Say a place again."""
    return f"{at.name} {at.height:g} {','.join(tags)}"


@server.tool()
def picture() -> Image:
    made = io.BytesIO()
    Pillow.new("RGB", (20, 10), "red").save(made, "PNG")
    return Image(data=made.getvalue(), format="png")


@server.tool(structured_output=False)
def long(characters: int) -> str:
    return "x" * characters


@server.tool()
def wrong() -> str:
    raise ValueError("this never works")


@server.tool()
async def slow() -> str:
    await asyncio.sleep(600)
    return "late"


@server.tool()
def die() -> str:
    os._exit(1)


@server.tool()
def surroundings() -> str:
    return " ".join(f"{name}={value}" for name, value in os.environ.items())


@server.tool(name="odd.name/x")
def odd() -> str:
    return "odd"


@server.tool()
def search(query: str) -> str:
    return f"found {query}"


server.run("streamable-http" if mode == "http" else "stdio")

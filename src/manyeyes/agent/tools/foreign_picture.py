"""`foreign_picture`: a picture that somebody's program sent (code in a kernel, an MCP server), looked at first.

A header says little: what is damaged further on would fail where the result is written down, which takes the agent
along, or at the endpoint with every turn that follows. So it is decoded here, once. Only formats of the web are: each
decoder is a large program that reads bytes of strangers.

Report: App. D (tools whose results hold pictures).
"""

from manyeyes.core.picture import MediaError, Picture

MOST_PIXELS = 25_000_000
_STARTS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8")


def foreign_picture(content: bytes, *, name: str) -> Picture:
    """The picture in a file's bytes. Slow (tenths of a second for a large one): call it in a thread.

    Args:
        name: what messages call it.

    Raises:
        MediaError: it is damaged, has more than `MOST_PIXELS`, or is no PNG, JPEG, GIF or WebP.
    """
    if not content.startswith(_STARTS) and not (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        raise MediaError(f"{name}: expected a PNG, JPEG, GIF or WebP file")
    picture = Picture.from_bytes(content, name=name, max_pixels=MOST_PIXELS)
    picture.pixels()
    return picture

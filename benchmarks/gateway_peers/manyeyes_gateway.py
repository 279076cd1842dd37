"""Our gateway as a process: in front of the mock endpoint, or of a sampler over the mock's token API."""

import argparse
import asyncio

import uvloop

from manyeyes.agent.gateway.config import GatewayConfig
from manyeyes.agent.gateway.endpoint_pictures import Eyes
from manyeyes.agent.gateway.endpoint_server import EndpointServer
from manyeyes.agent.gateway.endpoint_upstream import EndpointUpstream
from manyeyes.agent.gateway.gateway import Gateway
from manyeyes.agent.gateway.sampler_settings import TokenSettings
from manyeyes.agent.gateway.sampler_upstream import SamplerUpstream
from manyeyes.agent.gateway.upstream import Upstream
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.remote_wire import Server
from manyeyes.core.media import MediaRules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_prompt import Served

TOKEN = "a-token-of-this-benchmark"
RULES = MediaRules(patch_size=8)


def upstream_of(asked: argparse.Namespace) -> Upstream:
    """What answers."""
    tiny = Tokenizer.tiny()
    if asked.api == "chat":
        return EndpointUpstream(EndpointServer(f"{asked.upstream}/v1"), eyes=Eyes(RULES, tiny.media_pad))
    served = Served("m", tiny, RULES, 32_768, Grammars(tiny))
    return SamplerUpstream(ManyeyesSampler(Server(asked.upstream)), served, TokenSettings(), limiter=Limiter(1024))


async def serve(asked: argparse.Namespace) -> None:
    """Listen until the process is killed."""
    async with Gateway(upstream_of(asked), config=GatewayConfig(port=asked.port), token=TOKEN):
        await asyncio.Event().wait()


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--api", choices=("chat", "tokens"), default="chat")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

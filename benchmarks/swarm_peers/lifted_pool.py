"""HTTP clients for the peers without a limit on connections, as the `openai` package documents to configure them."""

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient

LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
TIMEOUT = httpx2.Timeout(600.0)
"""Seconds; by default a connection must stand within 5, which a thousand at once may not."""


def lifted() -> DefaultAsyncHttpxClient:
    """For coroutines."""
    return DefaultAsyncHttpxClient(limits=LIMITS, timeout=TIMEOUT)


def lifted_for_threads() -> DefaultHttpxClient:
    """For threads."""
    return DefaultHttpxClient(limits=LIMITS, timeout=TIMEOUT)


def client(url: str, key: str, *, tuned: bool) -> AsyncOpenAI:
    """For systems that take a client of the `openai` package."""
    if not tuned:
        return AsyncOpenAI(base_url=url, api_key=key)
    return AsyncOpenAI(base_url=url, api_key=key, http_client=lifted(), timeout=TIMEOUT)

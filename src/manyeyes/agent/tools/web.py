"""`web_tools`: search and pages as one toolset of one agent, with one list of citations.

    backend, pages = LocalWeb.build(...), ...                  shared by all agents of a run
    Environment(lambda ctx: web_tools(backend, pages, ctx))    state of its own for each agent

Report: App. E.6, E.8.
"""

from manyeyes.agent.environment import Ctx
from manyeyes.agent.tools.citations import Citations
from manyeyes.agent.tools.pages import PageSource, PageTools
from manyeyes.agent.tools.search import SearchBackend, search_tool
from manyeyes.agent.toolset import Functions, Together


def web_tools(backend: SearchBackend, pages: PageSource, ctx: Ctx) -> Together:
    """`search`, `open`, `find`, `scroll`, `click`; an interrupted agent finds its pages and numbers again."""
    citations = Citations(ctx.noted)
    return Together(Functions([search_tool(backend, citations)]), PageTools(pages, citations, ctx.noted))

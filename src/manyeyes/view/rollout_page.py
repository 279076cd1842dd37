"""`RolloutPage`: the page of a rollout run: what it is doing, its trajectories, and each of them token for token.

    async with RolloutPage(folder) as page:
        print(page.url)

    GET /api/series?generation=&have=   snapshots that the page lacks
    GET /api/list?task=&stop=&order=…   trajectories by what the index knows;  /api/choices: what can be asked for
    GET /api/outline?name=              a trajectory without its tokens;  /api/tokens?name=: its arrays, end to end
    GET /api/blobs/HASH                 a picture
    GET /metrics                        for Prometheus, with `Authorization: Bearer TOKEN`

It only reads: a run of another process is shown in the same way, live and afterwards. Nothing is loaded from elsewhere.

Report: App. D (monitoring of rollouts); the page is this project's own.
"""

from pathlib import Path

from manyeyes.view.guarded_site import GuardedSite
from manyeyes.view.rollout_routes import RolloutRoutes
from manyeyes.view.rollout_run import ShownRollouts


class RolloutPage(GuardedSite):
    """See the module.

    Args:
        folder: of the run.
        port: to listen on; 0 for a free one.
        token: that browsers must bring; a random one when left out.

    Raises:
        ConfigError: the folder holds no rollouts, or the token is short.
    """

    def __init__(self, folder: Path, *, port: int = 0, token: str | None = None) -> None:
        self.run = ShownRollouts(folder)
        super().__init__(RolloutRoutes(self.run).table, port=port, token=token)

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        self.run.close()

"""The root of every error that manyeyes raises on purpose.

Each room draws its own small tree under `ManyeyesError`. A message says what was expected, what came, and what to do.
The command line prints such a message as one line and exits with status 2; anything else is a bug and keeps its
traceback.

    ManyeyesError
    ├── MediaError          core.media      a picture or clip that cannot be used
    │   └── MediaReadError  core.media      the same for now: storage or memory failed (also an OSError)
    ├── TokenizerError      core.tokenizer  a vocabulary file or text that cannot be used
    ├── ChatError           core.chat       a conversation that has no rendering, ids that do not parse
    ├── RunFolderError      core.runlog     a run folder that cannot be read or written
    ├── ConfigError         *.config        a configuration that contradicts itself
    ├── CheckpointError     *.checkpoint    weights that are missing, cut short or of another shape
    ├── DataError           data            a source, record or plan that cannot be used
    ├── JournalError        core.journal    a journal that cannot be read or written
    ├── JudgeError          reward.judge    a judge that gave no verdict
    ├── ModelError          agent           a model call that gave no message
    ├── SearchError         agent.tools     a search that gave nothing
    ├── FetchError          agent.tools     a page that may not or cannot be fetched
    ├── McpError            agent.tools     a tool server that cannot be reached or answered wrongly
    ├── PathRefused         agent.workspace a name that leads nowhere an agent may go
    ├── SandboxUnavailable  agent.sandbox   no sandbox works here, so code is not run
    │   └── ComputerLost    agent.environments  a browser or desktop that is gone
    ├── WorkerFailed        agent.adapters  a program beside ours that gave no answer
    ├── SamplerError        core.sampler    a request for tokens that cannot be served
    ├── TrajectoryStoreError  core.trajectory_segments  a trajectory store that cannot be read or written
    ├── WireError           core.trajectory_summary     bytes that are no trajectory
    └── ApiError            inference       a request to the server that is answered with an error
"""


class ManyeyesError(Exception):
    """An expected failure: the message tells the user what to do."""


class ConfigError(ManyeyesError, ValueError):
    """A configuration that contradicts itself or names something unknown."""


class CheckpointError(ManyeyesError):
    """Weights on disk that are missing, cut short, or of another shape than asked."""


class DataError(ManyeyesError):
    """A data source, record or plan that cannot be used."""

"""`SandboxLimits`: how much a command of an agent may use, and which of the kernel's limits on a process hold it.

Report: App. D (tools run in a sandbox); the numbers are an open choice here.
"""

from dataclasses import dataclass, fields

from manyeyes.core.errors import ConfigError

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Of one command, or of one Python kernel.

    Attributes:
        memory: bytes of all its processes together; of each of them where no control group can be made.
        processes: at once, threads included.
        cpu_seconds: of each process.
        seconds: of wall time.
        output_bytes: printed, before it is stopped.
        file_bytes: in one file.
        open_files: in one process.
        tmp_bytes: in /tmp, and again in /dev/shm.
        work_bytes: in the agent's /workspace. A command that finds more there may not add to it.
        artefact_bytes: in /artefacts, by all agents together; likewise.
        files: in either of the two; likewise.
        free_bytes: that are left on the disk; a command that writes when there are fewer is stopped.

    Example:
        >>> SandboxLimits(processes=8).processes
        8
    """

    memory: int = 2 * GIB
    processes: int = 128
    cpu_seconds: int = 600
    seconds: float = 120.0
    output_bytes: int = MIB
    file_bytes: int = GIB
    open_files: int = 1024
    tmp_bytes: int = 256 * MIB
    work_bytes: int = 2 * GIB
    artefact_bytes: int = 4 * GIB
    files: int = 100_000
    free_bytes: int = 256 * MIB

    def __post_init__(self) -> None:
        for field in fields(self):
            if not (value := getattr(self, field.name)) > 0:
                raise ConfigError(f"a sandbox's {field.name} must be above 0, got {value}")

    def of_a_process(self, *, memory: bool) -> dict[str, int]:
        """Limits as the module `resource` names them.

        Args:
            memory: limit address space, too. A poor stand-in for a control group: much that is reserved is never used.
        """
        held = {
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_CORE": 0,
        }
        return held | ({"RLIMIT_AS": self.memory} if memory else {})

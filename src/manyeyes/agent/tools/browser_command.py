"""How Chromium is started: which program, within which sandbox, with everything off that could go round the proxy.

    bubblewrap works    own PID namespace, nobody's files, a network with nothing in it but a port to the guarded proxy
                        (`browser_relay`), and Chromium's own sandbox within
    it does not         Chromium's own sandbox only, and the proxy by flags only; root is refused, because Chromium has
                        no sandbox for root

The profile lies in memory or in a temporary folder and is never kept.

Report: App. E.8 (browser); the isolation is ours.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manyeyes.agent import sandbox_entry
from manyeyes.agent.missing_package import MissingPackage
from manyeyes.agent.sandbox_bwrap import binaries
from manyeyes.agent.tools import browser_relay
from manyeyes.core.errors import ConfigError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
DEBIAN = Path("/usr/lib/chromium/chromium")
"""What Debian's `chromium`, a shell script, runs in the end."""
RELAY_PORT = 3128
"""Of the sandbox's own loopback, where nothing else listens."""
INSIDE = Path("/run/browser")
"""Where the sandbox has the two sockets, `proxy` and `alive`, and the relay."""
FEATURES_OFF = (
    "AutofillServerCommunication", "CertificateTransparencyComponentUpdater", "DialMediaRouteProvider", "DnsOverHttps",
    "HttpsUpgrades", "InterestFeedContentSuggestions", "LensOverlay", "LensStandalone", "MediaRouter",
    "OptimizationHints", "Prerender2", "PrefetchPrivacyChanges", "Translate", "WebRtcHideLocalIpsWithMdns",
)  # fmt: skip
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--mute-audio",
    "--no-first-run", "--no-default-browser-check", "--password-store=basic", "--force-color-profile=srgb",
    "--disable-dev-shm-usage", "--disable-breakpad", "--disable-crash-reporter",
    # Nothing but what a page asks for leaves the browser.
    "--disable-background-networking", "--disable-component-update", "--disable-domain-reliability", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--disable-client-side-phishing-detection", "--no-pings",
    "--disable-field-trial-config", "--metrics-recording-only", "--disable-search-engine-choice-screen",
    # Nothing goes round the proxy: no UDP, no names looked up, loopback through the proxy like everything else.
    "--proxy-bypass-list=<-loopback>", "--disable-quic", "--dns-prefetch-disable",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    f"--disable-features={','.join(FEATURES_OFF)}",
    # A page gets no more than a page needs.
    "--deny-permission-prompts", "--disable-notifications", "--disable-speech-api", "--disable-remote-fonts",
    "--autoplay-policy=user-gesture-required", "--js-flags=--max-old-space-size=512",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-hang-monitor",
    "--disable-back-forward-cache",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BrowserConfig:
    """Which browser, and how much of it.

    Attributes:
        chromium: path of the program.
        bwrap: path of bubblewrap; "" for none.
        unsafe: root may run it without any sandbox.
        contexts: agents that have a page loaded at once; the others' pages are remembered and loaded again.
        seconds: for a page to load, and for everything else one call does.
        settle_seconds: that a page may go on loading after it is there.
        wait_seconds: that an agent waits for a context.
        width, height: of the window.
    """

    chromium: str
    bwrap: str = ""
    unsafe: bool = False
    contexts: int = 6
    seconds: float = 30.0
    settle_seconds: float = 3.0
    wait_seconds: float = 90.0
    width: int = 1280
    height: int = 800

    def __post_init__(self) -> None:
        if self.contexts < 1:
            raise ConfigError(f"a browser pool needs at least 1 context, got {self.contexts}")
        if not self.bwrap and not self.unsafe and hasattr(os, "geteuid") and os.geteuid() == 0:
            raise MissingPackage(
                "Chromium has no sandbox for root. Install bubblewrap (apt-get install bubblewrap), or run as another "
                "user"
            )

    @property
    def isolation(self) -> str:
        """What stands between a page and this machine, for people."""
        if self.bwrap:
            return "bubblewrap with a network of its own, Chromium's sandbox within"
        return "none: Chromium runs without a sandbox" if self.unsafe else "Chromium's own sandbox only"


def installed_browser(*, chromium: str = "", unsafe: bool = False, contexts: int = 6) -> BrowserConfig:
    """The browser of this machine.

    Args:
        chromium: path of the program; looked for when "".
        unsafe: see `BrowserConfig`.
        contexts: see `BrowserConfig`.

    Raises:
        ConfigError: there is none, or no way to run it safely; and what to do.
    """
    if importlib.util.find_spec("playwright") is None:
        raise MissingPackage(
            "the browser is driven by playwright, which is not installed: pip install 'manyeyes[browser]'"
        )
    return BrowserConfig(_program(chromium), bwrap=working_bwrap(), unsafe=unsafe, contexts=contexts)


def working_bwrap() -> str:
    """Path of a bubblewrap that works here; "" when there is none."""
    return next((str(path) for path in binaries() if _works(path)), "")


def command(config: BrowserConfig, *, folder: Path, port: int) -> tuple[str, list[str]]:
    """The program to start, and its arguments.

    Args:
        config: of the browser.
        folder: of this browser alone; within bubblewrap it holds the sockets `proxy` and `alive`.
        port: of the proxy on loopback, for a browser without bubblewrap.
    """
    if not config.bwrap:
        unsafe = ["--no-sandbox"] if config.unsafe else []
        return config.chromium, [*_flags(config, port, str(folder / "profile")), *unsafe]
    python, relay = os.path.realpath(sys.executable), str(INSIDE / "relay.py")
    seen = ["--ro-bind", browser_relay.__file__, relay, "--ro-bind", sandbox_entry.__file__, str(INSIDE / "entry.py")]
    for name in ("proxy", "alive"):
        seen += ["--ro-bind", str(folder / name), str(INSIDE / name)]
    inside = [python, "-I", "-S", relay, str(INSIDE), str(RELAY_PORT), config.chromium]
    return config.bwrap, [*_sandbox(config, python), *seen, "--", *inside, *_flags(config, RELAY_PORT, "/tmp/profile")]


def _program(given: str) -> str:
    if given:
        if not os.access(given, os.X_OK):
            raise ConfigError(f"there is no program at {given}; name the path of a Chromium")
        return _unwrapped(given)
    for name in PROGRAMS:
        if (path := shutil.which(name)) and not os.path.realpath(path).startswith("/snap/"):
            return _unwrapped(path)
    raise MissingPackage(
        "no Chromium was found: apt-get install chromium, or name one (Ubuntu's snap cannot be used: name another)"
    )


def _unwrapped(path: str) -> str:
    real = os.path.realpath(path)
    return str(DEBIAN) if real == "/usr/bin/chromium" and DEBIAN.exists() else real


def _works(path: Path) -> bool:
    asked = [
        str(path),
        "--unshare-all",
        "--uid",
        "65534",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "true",
    ]
    try:
        return subprocess.run(asked, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _flags(config: BrowserConfig, port: int, profile: str) -> list[str]:
    size = f"--window-size={config.width},{config.height}"
    return [*FLAGS, size, f"--proxy-server=http://127.0.0.1:{port}", f"--user-data-dir={profile}", "about:blank"]


def _sandbox(config: BrowserConfig, python: str) -> list[str]:
    """Arguments of bubblewrap. Nested user namespaces stay possible: Chromium's own sandbox is made of them."""
    folders = {_top(python), str(Path(sys.base_prefix)), str(Path(config.chromium).parent)}
    outside = sorted(folder for folder in folders if not folder.startswith("/usr/") and folder != "/usr")
    return [
        "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "browser",
        "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv",
        "--setenv", "HOME", "/tmp", "--setenv", "LANG", "C.UTF-8", "--setenv", "PATH", "/usr/bin:/bin",
        "--ro-bind", "/usr", "/usr", *_links(), *_read_only("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache"),
        *_read_only("/etc/ssl/certs", *outside), "--proc", "/proc", *_read_only(*KERNEL_SETTINGS),
        "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
        "--chdir", "/tmp",
    ]  # fmt: skip


KERNEL_SETTINGS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
"""Bubblewrap leaves them writable, and a root without capabilities is still the kernel's root. The rest of /proc stays
writable: Chromium's own sandbox maps its users there."""


def _top(python: str) -> str:
    """The installation that an interpreter belongs to: the folder above its bin."""
    return str(Path(python).parent.parent)


def _links() -> Sequence[str]:
    """/bin, /lib and the like, as they are here."""
    found: list[str] = []
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    return found


def _read_only(*paths: str) -> list[str]:
    return [word for path in paths for word in ("--ro-bind-try", path, path)]

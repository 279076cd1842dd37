from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

collect_ignore_glob = ["*_child.py"]
"""Programs that tests start; not to be imported."""

# A busy machine makes single examples slow; wall time is bounded for the whole suite instead. Examples are the same on
# every run, so that a change is judged by the same test; `make test-all` looks for new ones.
settings.register_profile("manyeyes", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("manyeyes")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skips-fail", action="store_true", help="a test that is skipped has failed (make test-parity)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    report = yield
    if report.skipped and item.config.getoption("--skips-fail", default=False):
        report.outcome = "failed"
    return report

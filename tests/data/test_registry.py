import dataclasses

import pytest

from manyeyes.core.errors import DataError
from manyeyes.data.collection import VISUAL_KINDS
from manyeyes.data.packages import Package
from manyeyes.data.registry import REGISTRY, Registry
from manyeyes.data.synthetic_sources import SYNTHETIC_SOURCES
from manyeyes.data.tiny_sources import TINY_SOURCES


def test_tiny_needs_packages_only_and_they_are_pinned():
    for info in TINY_SOURCES:
        assert not info.archives
        assert all("==" in package.pip for package in info.packages)


def test_every_source_says_where_it_comes_from():
    for info in REGISTRY:
        assert info.about and info.licence and info.origin
        assert bool(info.fetch) == bool(info.packages or info.archives)


def test_tiny_covers_the_four_domains_of_text():
    assert {info.kind for info in TINY_SOURCES if info.domain == "text"} == {"web", "code", "maths", "knowledge_text"}


def test_the_seven_kinds_of_visual_data_are_covered():
    kinds = {info.kind for info in REGISTRY if info.domain == "vision" and not info.archives}
    assert kinds == set(VISUAL_KINDS)


@pytest.mark.parametrize("info", SYNTHETIC_SOURCES, ids=lambda info: info.name)
def test_generators_are_described_as_they_are(info):
    collection = info.open("train", seed=3)
    assert (collection.name, collection.domain, collection.kind) == (info.name, info.domain, info.kind)
    assert info.synthetic and info.about and len(collection) > 0


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(DataError, match="easy_vqa"):
        REGISTRY["easyvqa"]


def test_names_are_unique_and_kinds_are_known():
    info = REGISTRY["easy_vqa"]
    with pytest.raises(DataError, match="two sources"):
        Registry([info, info])
    with pytest.raises(DataError, match="kind"):
        Registry([dataclasses.replace(info, kind="web")])


def test_another_version_is_refused_with_the_command():
    other = dataclasses.replace(REGISTRY["easy_vqa"], packages=(Package("numpy", "0.1", "numpy"),))
    with pytest.raises(DataError, match="expected numpy 0.1, found .* pip install numpy==0.1"):
        other.open("train")
    absent = dataclasses.replace(other, packages=(Package("no-such-package", "1", "nothing"),))
    assert absent.missing() == "no-such-package is not installed; run: pip install no-such-package==1"


def test_fetched_sources_ask_for_a_folder(tmp_path):
    with pytest.raises(DataError, match="npm pack openmoji"):
        REGISTRY.open("openmoji", "train")
    assert "npm pack openmoji" in str(REGISTRY["openmoji"].missing(tmp_path))

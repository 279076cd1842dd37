"""Files of installed packages as data: found without importing them, refused when the version is not the pinned one.

A package's files are the data set, so another version is another data set. Nothing here runs a line of the package.
"""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import NamedTuple

from manyeyes.core.errors import DataError


class Package(NamedTuple):
    """A distribution on PyPI, the version whose files are the data, and the module that holds them.

    Example:
        >>> Package("scikit-learn", "1.9.1", "sklearn").pip
        'pip install scikit-learn==1.9.1'
    """

    distribution: str
    version: str
    module: str

    @property
    def pip(self) -> str:
        """The command that installs exactly this version."""
        return f"pip install {self.distribution}=={self.version}"

    def folder(self) -> Path:
        """Where the module's files lie.

        Raises:
            DataError: not installed, or installed in another version.
        """
        try:
            found = importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError as error:
            raise DataError(f"{self.distribution} is not installed; run: {self.pip}") from error
        if found != self.version:
            raise DataError(f"expected {self.distribution} {self.version}, found {found}; run: {self.pip}")
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise DataError(f"{self.distribution} {found} has no folder {self.module}; reinstall it: {self.pip}")
        return Path(spec.submodule_search_locations[0])


EASY_VQA = Package("easy-vqa", "1.0", "easy_vqa")
SCIKIT_LEARN = Package("scikit-learn", "1.9.1", "sklearn")
SCIKIT_IMAGE = Package("scikit-image", "0.26.0", "skimage")
COUNTRYINFO = Package("countryinfo", "1.0.1", "countryinfo")
MENDELEEV = Package("mendeleev", "1.3.0", "mendeleev")
AIRPORTSDATA = Package("airportsdata", "20260905", "airportsdata")

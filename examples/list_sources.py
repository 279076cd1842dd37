"""Lists every data source with its licence, and the command that fetches what is not here yet.

python examples/list_sources.py [FOLDER OF FETCHED DATA]
"""

import sys
from itertools import groupby
from pathlib import Path

from manyeyes.recipes.sources import SOURCES


def main(folder: Path) -> None:
    """Print the sources by domain and kind."""
    infos = sorted(SOURCES, key=lambda info: (info.domain, info.kind, info.name))
    for (domain, kind), group in groupby(infos, key=lambda info: (info.domain, info.kind)):
        print(f"\n{domain}, {kind}")
        for info in group:
            print(f"  {info.name:<36}{info.about}  [{info.licence}]")
            if info.missing(folder):
                print(f"  {'':<36}fetch with: {info.fetch}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))

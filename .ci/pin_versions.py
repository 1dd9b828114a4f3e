"""Write the versions of all packages that the tests ran with into pyproject.toml, as uv's constraint-dependencies.

The list names versions and no address: a clone gets the same packages from whichever index it uses. To raise the
versions, run with `--clear`, then `uv lock --upgrade` and the tests, then run it without an option.
"""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
START = (
    "# The versions that were tested, written by .ci/pin_versions.py: a clone installs these.\n"
    "constraint-dependencies = [\n"
)
EXPORT = "uv export --quiet --all-extras --all-groups --no-hashes --no-annotate --no-header --no-emit-project --frozen"


def tested_versions() -> list[str]:
    """`name==version` of every locked package, with the Python versions it is for where there are several."""
    listed = set()
    for line in subprocess.run(EXPORT.split(), capture_output=True, text=True, check=True).stdout.splitlines():
        requirement, _, marker = line.partition(" ; ")
        python = " and ".join(part for part in marker.split(" and ") if part.startswith("python_full_version"))
        listed.add(f"{requirement} ; {python}" if python and " or " not in marker else requirement)
    return sorted(listed)


def main() -> None:
    """Replace the list at the end of pyproject.toml's [tool.uv] section."""
    before, start, rest = PROJECT.read_text(encoding="utf-8").partition(START)
    if not start:
        raise SystemExit(f"{PROJECT} has no list to replace: add `constraint-dependencies = [` and `]` under [tool.uv]")
    after = rest.partition("]\n")[2]
    versions = [] if "--clear" in sys.argv else tested_versions()
    lines = "".join(f'    "{version}",\n' for version in versions)
    PROJECT.write_text(f"{before}{start}{lines}]\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

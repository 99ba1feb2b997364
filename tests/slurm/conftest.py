import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.processes import REPOSITORY

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def slurm():
    """A running Slurm, in a folder of a short path."""
    if shutil.which("slurmctld") is None or os.geteuid():
        pytest.skip("needs root and Debian's slurm-wlm and munge: tests/slurm/up.sh --install DIR")
    folder = Path(tempfile.mkdtemp(prefix="dcam-slurm-", dir="/tmp"))
    before = os.environ.get("SLURM_CONF"), os.environ.get("PYTHONPATH")
    try:
        subprocess.run([HERE / "up.sh", folder], check=True, timeout=60)
        os.environ |= {"SLURM_CONF": f"{folder}/slurm.conf", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/tests:{HERE}"}
        yield folder
    finally:
        subprocess.run([HERE / "down.sh", folder], check=False, timeout=60)
        for name, value in zip(("SLURM_CONF", "PYTHONPATH"), before, strict=True):
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder, ignore_errors=True)

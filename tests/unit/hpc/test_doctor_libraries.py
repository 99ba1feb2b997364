"""Libraries that a process has loaded, by real ones that gcc makes here."""

import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import python

from dcam_dist.hpc.doctor import State
from dcam_dist.hpc.doctor.libraries import FAMILIES, Library, judge_copies, loaded_files

SITE = "/env/lib/python3.12/site-packages"
MAPS = f"""\
7f0000000000-7f0000001000 r-xp 00000000 fe:00 101  {SITE}/nvidia/cudnn/lib/libcudnn.so.9
7f0000001000-7f0000002000 r--p 00000000 fe:00 102  {SITE}/nvidia/cudnn/lib/libcudnn_ops.so.9
7f0000002000-7f0000003000 r-xp 00000000 fe:00 103  {SITE}/nvidia/nccl/lib/libnccl.so.2
7f0000003000-7f0000004000 r-xp 00000000 fe:00 104  /apps/CUDA/12.6/lib64/libnccl.so.2.22.3 (deleted)
7f0000004000-7f0000005000 r-xp 00000000 fe:00 105  {SITE}/nvidia/cu13/lib/libcublasLt.so.13
7f0000005000-7f0000006000 r-xp 00000000 fe:00 106  {SITE}/torch/lib/libcudart-9335f6a2.so.12
7f0000006000-7f0000007000 r-xp 00000000 fe:00 107  /usr/lib/libncclient.so.2
7f0000007000-7f0000008000 rw-p 00000000 00:00 0    [heap]
7f0000008000-7f0000009000 rw-p 00000000 00:00 0
"""
VERSIONS = {
    "libnccl.so.2": "int ncclGetVersion(int *v) { *v = %d; return 0; }",
    "libcudnn.so.9": "#include <stddef.h>\nsize_t cudnnGetVersion(void) { return %d; }",
    "libcudart.so.13": "int cudaRuntimeGetVersion(int *v) { *v = %d; return 0; }",
    "libnvJitLink.so.13": "int nvJitLinkVersion(unsigned *a, unsigned *b) { *a = %d; *b = 3; return 0; }",
    "libcublas.so.13": "int cublasGetProperty(int k, int *v) { *v = %d + k; return 0; }",
    "libcublasLt.so.13": "int silent(void) { return %d; }",
}
LOAD = """
import ctypes, json, sys
from dataclasses import asdict
for file in sys.argv[1:]:
    ctypes.CDLL(file)
from dcam_dist.hpc.doctor.libraries import loaded_libraries
print(json.dumps([asdict(one) for one in loaded_libraries(open("/proc/self/maps").read())]))
"""


def test_copies_are_told_apart_by_their_folders():
    found = loaded_files(MAPS)
    assert set(found) == {
        ("cuDNN", f"{SITE}/nvidia/cudnn/lib"),
        ("NCCL", f"{SITE}/nvidia/nccl/lib"),
        ("NCCL", "/apps/CUDA/12.6/lib64"),
        ("cuBLAS", f"{SITE}/nvidia/cu13/lib"),
        ("CUDA runtime", f"{SITE}/torch/lib"),
    }
    assert found["NCCL", "/apps/CUDA/12.6/lib64"].endswith("libnccl.so.2.22.3")


def test_two_copies_of_nccl_are_named_with_their_folders():
    both = [Library("NCCL", "/env", "2.27.5"), Library("NCCL", "/apps", ""), Library("cuDNN", "/env", "9.26.0")]
    listed, twice = judge_copies(both)
    assert (listed.state, twice.state) == (State.OK, State.WARN)
    assert "2 copies of NCCL" in twice.found and "2.27.5 in /env" in twice.found and "in /apps" in twice.found
    assert len(judge_copies([Library("CUDA runtime", "/a"), Library("CUDA runtime", "/b")])) == 1


@given(st.text())
def test_any_map_can_be_read(text):
    assert all(family in FAMILIES for family, _ in loaded_files(text))


def compiled(folder, name, number):
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "source.c"
    source.write_text(VERSIONS[name] % number)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / name, source], check=True)
    return str(folder / name)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_real_libraries_are_found_in_a_process_and_say_their_versions(tmp_path):
    files = [
        compiled(tmp_path / "one/lib", "libnccl.so.2", 22705),
        compiled(tmp_path / "two/lib", "libnccl.so.2", 23007),
        compiled(tmp_path / "one/lib", "libcudnn.so.9", 91002),
        compiled(tmp_path / "one/lib", "libcudart.so.13", 13020),
        compiled(tmp_path / "one/lib", "libnvJitLink.so.13", 13),
        compiled(tmp_path / "two/lib", "libcublas.so.13", 13),
        compiled(tmp_path / "three/lib", "libcublasLt.so.13", 13),
    ]
    ended = python(["-c", LOAD, *files])
    assert ended.returncode == 0, ended.stderr
    found = {(one["family"], one["folder"]): one["version"] for one in json.loads(ended.stdout)}
    assert found == {
        ("NCCL", str(tmp_path / "one/lib")): "2.27.5",
        ("NCCL", str(tmp_path / "two/lib")): "2.30.7",
        ("cuDNN", str(tmp_path / "one/lib")): "9.10.2",
        ("CUDA runtime", str(tmp_path / "one/lib")): "13.2",
        ("nvJitLink", str(tmp_path / "one/lib")): "13.3",
        ("cuBLAS", str(tmp_path / "two/lib")): "13.14.15",
        ("cuBLAS", str(tmp_path / "three/lib")): "",
    }

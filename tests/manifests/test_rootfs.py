"""images/rootfs.py: what it puts together starts alone, with its own loader, libraries and bytecode."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "images/rootfs.py"
PACKAGES = Path(sysconfig.get_path("purelib"))
ASKED = """
import bz2, ctypes, decimal, hashlib, json, lzma, sqlite3, ssl, sys, uuid, orjson, kubernetes.aio
import kept
with open("/proc/self/maps") as maps:
    files = {line.split()[-1] for line in maps if ".so" in line}
print(orjson.dumps({"files": sorted(files), "cached": json.__cached__, "kept": kept.__cached__}).decode())
"""

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-query") is None, reason="images are put together from Debian's files: run this test on Debian"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment: a package with compiled code, and one with what never runs."""
    folder = tmp_path_factory.mktemp("venv")
    packages = folder / "lib/python3.11/site-packages"
    shutil.copytree(PACKAGES / "orjson", packages / "orjson")
    never = ("kept/tests/test_it.py", "kept/include/it.h", "kept/it.a", "torch/bin/test_jit", "kubernetes/client/x.py")
    for name in ("kept/__init__.py", *never, "kubernetes/aio/__init__.py"):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("")
    (packages / "kept/later.py").write_text("type X = int")
    (packages / "torch/bin/torch_shm_manager").write_text("")
    (packages / "kubernetes/__init__.py").write_text("from . import client")
    (folder / "bin").mkdir()
    return folder


@pytest.fixture(scope="module")
def root(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("image") / "root"
    subprocess.run([sys.executable, str(SCRIPT), str(site), str(made)], check=True, capture_output=True)
    return made


def test_python_and_the_packages_start_from_it_and_load_nothing_of_the_machine(site: Path, root: Path) -> None:
    (loader,) = (root / "lib64").glob("ld-linux*")
    program = Path(sys.executable).resolve()
    (libc,) = (root / "usr/lib").glob("*/libc.so.6")
    command = [str(loader), "--library-path", str(libc.parent), str(root / program.relative_to("/")), "-B", "-c", ASKED]
    home = root / program.parent.parent.relative_to("/")
    env = {"PYTHONHOME": str(home), "PYTHONPATH": str(site / "lib/python3.11/site-packages")}
    printed = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    import orjson

    answer = orjson.loads(printed)
    # A Python that names its own library by its whole path finds it where it was; in the image that is the same place.
    outside = [each for each in answer["files"] if not Path(each).is_relative_to(root) and str(site) not in each]
    assert [each for each in outside if not (root / Path(each).relative_to("/")).is_file()] == []
    assert (Path(answer["cached"]).exists(), Path(answer["kept"]).exists()) == (True, True)


def test_what_never_runs_is_left_out(site: Path, root: Path) -> None:
    packages = site / "lib/python3.11/site-packages"
    kept = {str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file()}
    assert {each for each in kept if not each.startswith("orjson") and "__pycache__" not in each} == {
        "kept/__init__.py",
        "kept/later.py",
        "kubernetes/__init__.py",
        "kubernetes/aio/__init__.py",
        "torch/bin/torch_shm_manager",
    }
    folders = {path.name for path in root.rglob("*") if path.is_dir()}
    programs = {path.name for path in root.glob("usr/*bin/*")}
    assert {"pip", "ensurepip", "tkinter", "idlelib", "test"}.isdisjoint(folders)
    assert programs <= {Path(sys.executable).resolve().name}


def test_the_operator_uses_the_kubernetes_client_that_its_image_keeps() -> None:
    sources = [path.read_text() for path in (ROOT / "operator/disrouter_operator").rglob("*.py")]
    used = {
        name for text in sources for name in re.findall(r"^\s*(?:from|import) (kubernetes[\w.]*)", text, re.MULTILINE)
    }
    assert used, "the operator asks the cluster through it"
    assert {name for name in used if not name.startswith("kubernetes.aio")} == set()


def test_scanners_find_what_came_from_debian(root: Path) -> None:
    noted = {path.name: path.read_text() for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libgcc-s1", "libssl3", "ca-certificates"} <= set(noted)
    assert all(f"Package: {name}\n" in text and "\nVersion: " in text for name, text in noted.items())
    assert (root / "usr/share/doc/libc6/copyright").exists()
    assert (root / "etc/os-release").read_text() == Path("/etc/os-release").read_text()


def test_users_hosts_certificates_and_a_place_for_files_are_there(root: Path) -> None:
    assert "disrouter:x:65532:65532" in (root / "etc/passwd").read_text()
    assert (root / "etc/nsswitch.conf").read_text() == "hosts: files dns\n"
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    import ssl

    found = root / Path(ssl.get_default_verify_paths().openssl_cafile).relative_to("/")
    assert str(found.readlink()) == "/etc/ssl/certs/ca-certificates.crt"
    ssl.create_default_context(cafile=str(root / "etc/ssl/certs/ca-certificates.crt"))

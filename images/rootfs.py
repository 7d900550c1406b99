"""Put together what an image holds: Python, the libraries that it and the packages load, and a few files of /etc.

    python rootfs.py SITE ROOT

Build stages call it. SITE is an installed virtual environment, which loses what never runs; ROOT becomes the root of an
image that stands on nothing (`FROM scratch`): no shell, no package manager, no compiler, no pip. Everything comes from
the base that this runs on, so any Debian with Python 3.11 will do: docker's in /usr/local or Debian's own in /usr.
"""

import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

USER = 65532
TEACHES_TESTS_OR_DRAWS = (
    *("*-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data"),
    *("config-3*", "_test*", "__pycache__", "_tkinter*", "_curses*", "readline*", "_dbm*", "nis.*", "ossaudiodev*"),
)
"""Of Python's own library: what nothing here runs, with the libraries that it would bring, and any old bytecode."""
NEVER_IMPORTED = ("tests", "test", "include")
"""Folders of packages; torch's alone are 145 MB."""
PROGRAMS_OF_TORCH = ("torch_shm_manager",)
"""Of `torch/bin`: hands tensors to another process. The others are torch's tests."""
CLIENT_USED = "aio"
"""The Kubernetes client comes twice. Kopf passes over the other one where it is missing; loading it would take a
quarter of the operator's start and of its memory."""
LOADED_BY_NAME = ("libgcc_s.so.1",)
"""Named by no header: the C library loads it when a thread ends."""
TAKEN = ("etc/os-release", "etc/debian_version", "etc/ld.so.conf", "etc/ld.so.conf.d")
"""Where scanners and NVIDIA's container runtime look: which system this is, and where its libraries lie."""
AUTHORITIES = (Path("/usr/share/ca-certificates"), Path("/usr/local/share/ca-certificates"))
"""The base's own: what a builder mounts over /etc/ssl must not end up in an image."""
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
WRITTEN = {
    "etc/passwd": f"root:x:0:0:root:/:/\nnobody:x:65534:65534:nobody:/:/\ndisrouter:x:{USER}:{USER}::/tmp:/\n",
    "etc/group": f"root:x:0:\nnogroup:x:65534:\ndisrouter:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def main(site: Path, root: Path) -> None:
    """Prune `site` and fill `root`."""
    prune(site)
    keep_one_client(site)
    python = copy_python(root)
    link(site / "bin/python", python)
    own = shared_objects(inside(root, python_library()))
    needed = libraries([python, *own, *shared_objects(site)])
    outside = sorted(each for each in needed if not each.is_relative_to(site))
    for library in outside:
        copy(library, root)
    copy_settings(root)
    note_packages([python, *(Path("/") / each.relative_to(root) for each in own), *outside], root)
    compile_all(root, site)


def prune(site: Path) -> None:
    """Remove what never runs from the packages."""
    for name in NEVER_IMPORTED:
        for folder in [each for each in site.glob(f"lib/**/{name}") if each.is_dir()]:
            shutil.rmtree(folder, ignore_errors=True)
    for file in [*site.glob("lib/**/*.a"), *site.glob("lib/*/site-packages/torch/bin/*")]:
        if file.is_file() and file.name not in PROGRAMS_OF_TORCH:
            file.unlink()


def keep_one_client(site: Path) -> None:
    """Leave of `kubernetes` the client that is used, where there is one."""
    for client in site.glob("lib/*/site-packages/kubernetes"):
        for part in [each for each in client.iterdir() if each.is_dir() and each.name != CLIENT_USED]:
            shutil.rmtree(part)
        (client / "__init__.py").write_text("", encoding="utf-8")


def copy_python(root: Path) -> Path:
    """Python's program and library, at the places that they have here; returns the program's."""
    program = Path(sys.executable).resolve()
    copy(program, root)
    for taken in (root / name for name in ("bin", "lib", "lib64", "sbin")):
        here = Path("/") / taken.name
        if here.is_symlink():
            (root / here.resolve().relative_to("/")).mkdir(parents=True, exist_ok=True)
            link(taken, here.readlink())
    library, ignored = python_library(), shutil.ignore_patterns(*TEACHES_TESTS_OR_DRAWS)
    shutil.copytree(library, inside(root, library), ignore=ignored)
    return program


def python_library() -> Path:
    """The folder of the modules that come with Python."""
    return Path(sysconfig.get_path("stdlib")).resolve()


def shared_objects(folder: Path) -> list[Path]:
    """Extension modules and the libraries that packages bring."""
    return [each for each in folder.rglob("*.so*") if each.is_file()]


def libraries(binaries: Iterable[Path]) -> set[Path]:
    """What the loader finds for these, itself included; what it misses (a GPU's driver) comes with the node."""
    printed = output("ldd", *map(str, binaries))
    found = {Path(each) for each in re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", printed, re.MULTILINE)}
    (libc,) = (each for each in found if each.name == "libc.so.6")
    return {each.parent.resolve() / each.name for each in (*found, *(libc.with_name(name) for name in LOADED_BY_NAME))}


def copy_settings(root: Path) -> None:
    """What programs read in /etc, the certificates of the public authorities, and a /tmp for whoever it is."""
    for name in TAKEN:
        here, there = Path("/") / name, root / name
        if here.is_dir():
            shutil.copytree(here, there)
        elif here.exists():
            copy(here, root)
    authorities = sorted(file for folder in AUTHORITIES for file in folder.glob("**/*.crt"))
    bundle = "".join(file.read_text(encoding="ascii").strip() + "\n" for file in authorities)
    for name, text in {**WRITTEN, BUNDLE: bundle}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    link(inside(root, Path(ssl.get_default_verify_paths().openssl_cafile)), Path("/") / BUNDLE)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)


def note_packages(files: Iterable[Path], root: Path) -> None:
    """Debian's name, version and licence of all that comes from it: scanners make their lists of contents from it."""
    patterns = [f"*{str(file).removeprefix('/usr')}" for file in files]
    notes = root / "var/lib/dpkg/status.d"
    notes.mkdir(parents=True)
    owners = output("dpkg-query", "--search", *patterns).splitlines()
    for name in sorted({line.partition(":")[0] for line in owners} | {"ca-certificates"}):
        (notes / name).write_text(output("dpkg-query", "--status", name), encoding="utf-8")
        licence = Path("/usr/share/doc") / name / "copyright"
        if licence.exists():
            copy(licence, root)


def compile_all(root: Path, site: Path) -> None:
    """Bytecode that is checked by content, not by time: the same in every build, and nobody can write any later.

    Packages may bring files for another Python, which do not compile and are never imported.
    """
    for folder, options in ((inside(root, python_library()), ["-s", str(root)]), (site, [])):
        command = (sys.executable, "-m", "compileall", "-qq", "-j0", "--invalidation-mode", "unchecked-hash")
        output(*command, *options, str(folder))


def output(*command: str) -> str:
    """What a command prints, whatever it ends with: each of these has a word on some file that does not concern it."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout  # noqa: S603


def inside(root: Path, path: Path) -> Path:
    """Where an absolute path lies below `root`."""
    return root / path.relative_to("/")


def copy(file: Path, root: Path) -> None:
    """A file, or what a link points to, under the same name below `root`."""
    target = inside(root, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target)


def link(place: Path, target: Path) -> None:
    """Make `place` point to `target`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""A container as a restricted pod runs it, in a mount namespace of this machine: a root that nobody may write to, a
user that no passwd file knows, no capability, and the volumes of its pod.

It needs root and Linux's namespaces. What a runtime does besides (seccomp, an image of its own) is not here.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from disrouter_operator.kube.resources import Object
from support.vllm import end

_ISOLATE = ("unshare", "--mount", "--propagation=private", "--", "bash", "-euc")


def possible() -> bool:
    """Whether this machine lets us make a namespace with mounts of its own."""
    return subprocess.run([*_ISOLATE, "mount -t tmpfs none /mnt"], check=False, capture_output=True).returncode == 0


@contextmanager
def running(
    pod: Object, claims: Mapping[str, Path], python: Path, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The first container's process, with `env` besides its own; `python` is its interpreter, `claims` where claims
    lie."""
    container = pod["containers"][0]
    own = {item["name"]: item["value"] for item in container["env"]}
    words = [*container["command"], *container["args"]]
    said = [_expanded(word, own) for word in words]
    security = container["securityContext"]
    who = ("setpriv", f"--reuid={security['runAsUser']}", f"--regid={security['runAsGroup']}", "--clear-groups")
    bare = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "env", "-i")
    variables = [f"{name}={value}" for name, value in {**env, **own, "PATH": f"{python.parent}:/usr/bin:/bin"}.items()]
    script = [*_mounts(pod, container, claims, python), f"exec {shlex.join([*who, *bare, *variables, *said])}"]
    with log.open("wb") as out:
        process = subprocess.Popen([*_ISOLATE, "\n".join(script)], stdout=out, stderr=subprocess.STDOUT, cwd="/")
    try:
        yield process
    finally:
        end(process, 60)


def _mounts(pod: Object, container: Object, claims: Mapping[str, Path], python: Path) -> Iterator[str]:
    """Shell commands. What lies below a home that only root may enter, as an interpreter may, is bound where it is."""
    prefix = python.resolve().parents[1]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    yield "mount -t tmpfs -o mode=755 none /mnt && mkdir /mnt/kept /mnt/kept/python"
    yield f"mount --bind {prefix} /mnt/kept/python"
    for name, folder in claims.items():
        yield f"mkdir /mnt/kept/{name} && mount --bind {shlex.quote(str(folder))} /mnt/kept/{name}"
    yield f"mount -t tmpfs -o mode=755 none /root && mkdir -p {prefix} && mount --bind /mnt/kept/python {prefix}"
    yield "mount -t tmpfs -o mode=755 none /home"
    for mount in container["volumeMounts"]:
        path, volume = mount["mountPath"], volumes[mount["name"]]
        yield f"mkdir -p {path}"
        if "emptyDir" in volume:
            limit = volume["emptyDir"].get("sizeLimit")
            yield f"mount -t tmpfs -o mode=777{f',size={limit[:-2]}m' if limit else ''} none {path}"
        else:
            claim = volume["persistentVolumeClaim"]["claimName"]
            yield f"mount --bind /mnt/kept/{claim}/{mount.get('subPath', '')} {path}"
            yield f"mount -o remount,bind,ro {path}"
    for path in ("/home", "/root", "/mnt", "/"):
        yield f"mount -o remount,bind,ro {path}"


def _expanded(word: str, env: Mapping[str, str]) -> str:
    for name, value in env.items():
        word = word.replace(f"$({name})", value)
    return word

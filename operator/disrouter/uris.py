"""Model and dataset addresses: `hf://org/name`, `pvc://claim/path`, `s3://bucket/path`, `oci://image`, `file:///path`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from disrouter.names import SUBDOMAIN

PVC_ROOT = "/mnt/pvc"
"""Where Jobs find a claim: `pvc://claim/path` is `/mnt/pvc/claim/path`."""
_HUB_NAME = r"[A-Za-z0-9][-A-Za-z0-9._]*"
_SEGMENT = r"\.?[^\x00-\x20\x7f/.][^\x00-\x20\x7f/]*"
"""One part of a path. It never is `.` or `..`: RE2, which API servers use, knows no look-ahead to say so."""
_PATH = f"/{_SEGMENT}(/{_SEGMENT})*"
_IMAGE = r"oci://[a-z0-9][-a-z0-9.:]*(/[a-z0-9]+([-._]+[a-z0-9]+)*)+(:[\w][-.\w]*)?(@sha256:[0-9a-f]{64})?"
"""An image of KServe's modelcars: registry, repository, tag, digest."""
MODEL_URI = f"^(hf://{_HUB_NAME}/{_HUB_NAME}|pvc://{SUBDOMAIN}{_PATH}/?|s3://[^\\x00-\\x20\\x7f/]+{_PATH}/?|{_IMAGE})$"
"""What a manifest may name as weights."""
ADAPTER_URI = f"^pvc://{SUBDOMAIN}{_PATH}/?$"
"""What a manifest may name as a LoRA adapter."""
FILE_URI = (
    f"^(pvc://{SUBDOMAIN}{_PATH}|s3://[^\\x00-\\x20\\x7f/]+{_PATH}|hf://datasets/{_HUB_NAME}/{_HUB_NAME}{_PATH})$"
)
"""What a manifest may name as a file of questions; `file://` is for runs without a cluster."""
HUB_REVISION = r"^[A-Za-z0-9][-A-Za-z0-9._]*(/[A-Za-z0-9][-A-Za-z0-9._]*)*$"
"""A commit, tag or branch of a repository on the Hub."""
HUB_DATASET = f"^{_HUB_NAME}(/{_HUB_NAME})?$"
_SCHEME = re.compile(r"^(?P<scheme>hf|pvc|s3|oci|file)://(?P<rest>.+)$")


@dataclass(frozen=True)
class Uri:
    """`pvc://claim/path` has scheme `pvc`, host `claim`, path `path`; `hf://org/name` has path `org/name`."""

    scheme: str
    host: str
    path: str


def parse(text: str) -> Uri:
    """Split a URI. Raises ValueError that names the schemes that exist."""
    match = _SCHEME.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not an address disrouter knows; use hf://, pvc://, s3://, oci:// or file://")
    scheme, rest = match["scheme"], match["rest"]
    if scheme in ("hf", "oci", "file"):
        return Uri(scheme, "", rest)
    host, _, path = rest.partition("/")
    if ".." in Path(path).parts:
        raise ValueError(f"{text!r} climbs out of its volume; remove '..'")
    return Uri(scheme, host, path)


def local_path(text: str, pvc_root: Path = Path(PVC_ROOT)) -> str:
    """What a loader in a Job opens: a path for `pvc://` and `file://`, the Hub id for `hf://`, else the URI."""
    uri = parse(text)
    if uri.scheme == "pvc":
        return str(pvc_root / uri.host / uri.path)
    return uri.path if uri.scheme in ("hf", "file") else text

"""TLS from client to entry and from sidecar to sidecar, with certificates that are renewed under a running process."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from disrouter_sidecar.errors import InvalidConfig
from disrouter_sidecar.security.tls import Tls, client_context
from support.sidecars import REFUSAL, Cascade, cascade


def issue(folder: Path, authority: trustme.CA, host: str = "localhost") -> None:
    """A Secret as cert-manager writes it."""
    certificate = authority.issue_cert(host)
    (folder / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    (folder / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    (folder / "ca.crt").write_bytes(authority.cert_pem.bytes())


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tls"
    made.mkdir()
    return made


@pytest.fixture
def authority(folder: Path) -> trustme.CA:
    made = trustme.CA()
    issue(folder, made)
    return made


@pytest.fixture
async def secured(tmp_path: Path, folder: Path, authority: trustme.CA) -> AsyncIterator[Cascade]:
    async with cascade(tmp_path, tls=folder) as three:
        yield three


async def ask(three: Cascade, context: ssl.SSLContext, **fields: object) -> tuple[str, bytes]:
    body = {"model": "qwen", "messages": [{"role": "user", "content": "x"}], **fields}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http,
        http.post(f"{three.entry.url}/v1/chat/completions", json=body) as response,
    ):
        return response.headers["x-disrouter-path"], await response.read()


@pytest.mark.parametrize("stream", [False, True])
async def test_every_hop_is_encrypted_and_verified(secured: Cascade, authority: trustme.CA, stream: bool) -> None:
    secured.scripts(REFUSAL, REFUSAL, "four")
    path, body = await ask(secured, trusting(authority), stream=stream)
    assert path == "small,medium,large"
    assert b"four" in body


async def test_who_speaks_in_the_clear_is_not_answered(secured: Cascade) -> None:
    with pytest.raises(aiohttp.ClientError):
        await secured.http.get(secured.entry.url.replace("https", "http") + "/healthz")


async def test_an_agent_of_another_authority_is_failed_over(
    secured: Cascade, authority: trustme.CA, folder: Path
) -> None:
    """Sidecars trust `ca.crt` and nobody else, whoever issued the certificates that they serve with."""
    secured.scripts(REFUSAL, REFUSAL, "four")
    (folder / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    secured.entry.service.refresh()
    path, _ = await ask(secured, trusting(authority))
    assert path == "small,medium,large,small", "nobody else could be asked, so the entry's agent had to answer"
    assert secured.entry.metric("disrouter_failovers_total", reason="connect") == 2


async def test_a_renewed_certificate_and_authority_are_used_without_a_restart(
    secured: Cascade, authority: trustme.CA, folder: Path
) -> None:
    secured.scripts(REFUSAL, REFUSAL, "four")
    assert (await ask(secured, trusting(authority)))[0] == "small,medium,large"
    renewed = trustme.CA()
    issue(folder, renewed)
    for name in secured.agents:
        secured.agents[name].service.refresh()
    assert (await ask(secured, trusting(renewed)))[0] == "small,medium,large"
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await ask(secured, trusting(authority))


def test_a_pair_that_does_not_fit_is_not_used(folder: Path, authority: trustme.CA) -> None:
    tls = Tls(folder)
    before = tls.client
    (folder / "tls.key").write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
    assert tls.poll() is False
    assert tls.client is before
    issue(folder, authority)
    assert tls.poll() is True
    assert tls.client is not before


def test_files_that_are_swapped_while_they_are_read_are_read_again(
    folder: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(folder)
    before = tls.client
    issue(folder, authority)

    def swapped(there: Path) -> ssl.SSLContext:
        context = client_context(there)
        (there / "tls.key").unlink()
        return context

    with monkeypatch.context() as patch:
        patch.setattr("disrouter_sidecar.security.tls.client_context", swapped)
        assert tls.poll() is False, "it must not raise: who polls would never poll again"
    assert tls.client is before
    issue(folder, authority)
    assert tls.poll() is True


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_a_missing_file_is_named(folder: Path, authority: trustme.CA, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InvalidConfig, match=r"ca\.crt" if name == "ca.crt" else r"tls\.crt"):
        Tls(folder)

"""The judges: each runs a tool of another project on files and reads what it says."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.verdict import Finding, Verdict

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
"""Kubernetes versions whose schemas kubernetes-validate 1.37 ships, from the oldest that the charts are for."""


def _run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)


def checkov(tools: Path, folder: Path) -> Verdict:
    """A Kubernetes security scanner, with all of its Kubernetes policies."""
    flags = ("--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--output", "json")
    done = _run([tools / "checkov", *flags, "--directory", folder])
    try:
        loaded = json.loads(done.stdout)
    except ValueError:
        return Verdict("checkov", findings=(Finding("checkov", "itself", (done.stdout + done.stderr)[-500:]),))
    report = loaded[0] if isinstance(loaded, list) else loaded
    summary = report["summary"]
    findings = [
        Finding(check["check_id"], f"{Path(check['file_path']).stem}:{check['resource']}", check["check_name"])
        for check in report["results"]["failed_checks"]
    ]
    if summary["parsing_errors"]:
        findings.append(Finding("checkov", "parsing", str(report["results"]["parsing_errors"])))
    looked = f"{summary['resource_count']} objects, {summary['passed']} checks passed"
    return Verdict("checkov", looked, tuple(findings))


def schemas(tools: Path, files: Sequence[Path]) -> Verdict:
    """Kubernetes' own schemas of every version that the charts are for. Foreign kinds are left to their definitions."""
    findings, passed = [], 0
    for version in VERSIONS:
        done = _run([tools / "kubernetes-validate", "--strict", "-k", version, *files])
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        passed += sum(line.startswith("INFO") for line in lines)
        bad = [line for line in lines if not line.startswith(("INFO", "WARN"))]
        bad += [line for line in lines if line.startswith("WARN") and "Couldn't find schema for kind" not in line]
        findings += [Finding("schema", f"{version}:{line.partition(' for resource ')[2]}", line) for line in bad]
        if done.returncode != 0 and not bad:
            findings.append(Finding("schema", version, f"exit {done.returncode}"))
    return Verdict(
        "kubernetes-validate", f"{passed} validations, Kubernetes {VERSIONS[0]} to {VERSIONS[-1]}", tuple(findings)
    )


def hadolint(tools: Path, dockerfiles: Sequence[Path]) -> Verdict:
    """A linter of Dockerfiles."""
    done = _run([tools / "hadolint", "--format", "json", *dockerfiles])
    found = json.loads(done.stdout or "[]")
    findings = tuple(
        Finding(each["code"], f"{Path(each['file']).parent.name}:{each['line']}", each["message"]) for each in found
    )
    return Verdict("hadolint", f"{len(dockerfiles)} Dockerfiles", findings)


def pip_audit(tools: Path, constraints: Sequence[Path]) -> Verdict:
    """Known vulnerabilities of the pins, where a service that knows them answers: it is asked for one package first."""
    pins = {path.name: [line for line in path.read_text().splitlines() if "==" in line] for path in constraints}
    probe = _audit(tools, [next(pin for lines in pins.values() for pin in lines)])
    if isinstance(probe, str) or "skip_reason" in probe[0]:
        said = probe if isinstance(probe, str) else probe[0]["skip_reason"]
        return Verdict("pip-audit", not_run=f"no advisory service reachable: {said}")
    findings, silent = [], 0
    for name, lines in pins.items():
        packages = _audit(tools, lines)
        if isinstance(packages, str):
            return Verdict("pip-audit", not_run=f"the advisory service stopped answering: {packages}")
        silent += sum("skip_reason" in each for each in packages)
        findings += [
            Finding(vulnerability["id"], f"{each['name']}=={each['version']}", f"in {name}")
            for each in packages
            for vulnerability in each.get("vulns", [])
        ]
    total = sum(map(len, pins.values()))
    return Verdict("pip-audit", f"{total} packages, {silent} unknown to the service", tuple(findings))


def _audit(tools: Path, pins: Sequence[str]) -> list[dict[str, Any]] | str:
    """What pip-audit says of each package, or why it says nothing."""
    flags = ("--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off", "--timeout", "10")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        done = _run([tools / "pip-audit", *flags, "--requirement", file.name])
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:200]
    return packages

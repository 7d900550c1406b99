"""The command line as people and scripts meet it: text, exit codes, one clear line for each error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from disrouter_cli.main import COMMANDS, main
from disrouter_cli.output import age, as_yaml, table
from disrouter_cli.progress import Narrator


def manifest(**spec: Any) -> dict[str, Any]:
    agents = [
        {"name": "small", "model": {"uri": "hf://org/small"}, "cost": 0.1},
        {"name": "large", "model": {"uri": "hf://org/large"}, "cost": 0.9},
    ]
    return {
        "apiVersion": "disrouter.io/v1alpha1",
        "kind": "SelfRoutingCascade",
        "metadata": {"name": "qwen"},
        "spec": {"agents": agents, **spec},
    }


def agents(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**agent, **change} for agent, change in zip(manifest()["spec"]["agents"], changes, strict=False)]


INVALID = {
    "duplicate names": (manifest(agents=agents({"name": "a"}, {"name": "a"})), "spec.agents", "names must be unique"),
    "cost order": (
        manifest(agents=agents({"cost": 0.5}, {"cost": 0.4})),
        "spec.agents[1].cost",
        "order the agents by cost, cheapest first",
    ),
    "cycle": (
        manifest(agents=agents({"next": "small"}, {})),
        "spec.agents[0].next",
        "route to a later, costlier agent",
    ),
    "two terminals": (
        manifest(agents=agents({"selfAwareness": {"mode": "none"}}, {})),
        "spec.agents[0].selfAwareness.mode",
        "use trained or prompted here",
    ),
    "unknown field": (manifest(scenarioo="balance"), "spec.scenarioo", "did you mean 'scenario'?"),
    "name too long": ({**manifest(), "metadata": {"name": "q" * 41}}, "metadata.name", "use at most 40"),
    "alpha out of range": (manifest(preference=1.5), "spec.preference", "less than or equal to 1"),
    "a patch that takes the engine": (
        manifest(pod={"template": {"containers": [{"name": "kserve-container", "$patch": "delete"}]}}),
        "spec.pod.template.containers",
        "must keep kserve-container, transformer-container first",
    ),
    "missing dataset": (
        manifest(agents=agents({"selfAwareness": {"mode": "trained"}}, {})),
        "spec.training",
        "give spec.training.datasets",
    ),
    "metadata is text": ({**manifest(), "metadata": "qwen"}, "metadata", "write for example metadata: {name: qwen}"),
    "labels are a number": (
        {**manifest(), "metadata": {"name": "qwen", "labels": 3}},
        "metadata.labels",
        "write name: value pairs",
    ),
    "spec is text": ({**manifest(), "spec": "x"}, "spec", "write name: value pairs"),
    "unknown top-level field": ({**manifest(), "specs": {}}, "specs", "unknown field (known here: apiVersion"),
    "secret without name": ({"apiVersion": "v1", "kind": "Secret"}, "metadata.name", "is required; add it"),
    "secret with a number": (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"a": 5}},
        "stringData",
        "quote the values",
    ),
    "secret in clear text": (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "data": {"a": "not base64!"}},
        "data",
        "use stringData",
    ),
    "wrong version": ({**manifest(), "apiVersion": "v1"}, "apiVersion", "write disrouter.io/v1alpha1"),
    "no agents": (manifest(agents=[]), "spec.agents", "needs at least 1 item; add one"),
    "unknown successor": (manifest(agents=agents({"next": "huge"}, {})), "spec.agents[0].next", "use one of small"),
}


def write(folder: Path, *documents: Any) -> str:
    path = folder / "cascade.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def test_a_valid_manifest_is_said_to_be_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, manifest())
    assert main(["validate", file]) == 0
    assert capsys.readouterr().out == f"{file}: SelfRoutingCascade default/qwen: valid\n"


@pytest.mark.parametrize("case", INVALID)
def test_validate_names_field_and_remedy(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, field, remedy = INVALID[case]
    assert main(["validate", write(tmp_path, document)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"  {field}: ") and remedy in line for line in lines), lines


@pytest.mark.parametrize("case", INVALID)
def test_apply_refuses_what_validate_refuses(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, field, _ = INVALID[case]
    state = tmp_path / "state"
    assert main(["apply", "-f", write(tmp_path, document), f"--state={state}"]) == 1
    assert f"error: {field}: " in capsys.readouterr().err
    assert not state.exists()


def test_a_service_that_somebody_else_keeps_needs_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = {"name": "shared", "serviceRef": {"kind": "InferenceService", "name": "llama"}, "cost": 0.5}
    small, large = agents({}, {})
    file = tmp_path / "cascade.yaml"
    file.write_text(yaml.safe_dump(manifest(agents=[small, shared, large])))
    assert main(["validate", str(file)]) == 0
    capsys.readouterr()
    assert main(["apply", "-f", str(file), "--state", str(tmp_path / "state")]) != 0
    said = capsys.readouterr().err
    assert "spec.agents[1].serviceRef: needs a cluster with KServe" in said
    assert "give external with its url" in said


def test_validate_goes_on_after_a_bad_file_and_shows_every_violation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = manifest(preference=2, scenarioo="x")
    file = write(tmp_path, twice, manifest())
    assert main(["validate", "no-such-file.yaml", file]) == 1
    captured = capsys.readouterr()
    assert "cannot read no-such-file.yaml: No such file or directory; check the path" in captured.err
    assert f"{file} document 1: SelfRoutingCascade default/qwen: 2 violations" in captured.out
    assert f"{file} document 2: SelfRoutingCascade default/qwen: valid" in captured.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not YAML: line 1, column 6"),
        ("a: 1\na: 2\n", "line 2, column 1: key 'a' is given twice"),
        ("", "is empty; write a SelfRoutingCascade"),
        ("? [a]\n: b\n", "line 1, column 3: a key must be a plain word"),
        ("- 1\n", "is a list, not an object; begin with apiVersion and kind"),
        ("kind: Deployment\n", "kind 'Deployment' is not applied here; use SelfRoutingCascade or Secret"),
        ("x: 1\n", "kind None is not applied here"),
    ],
)
def test_files_that_are_no_manifests_say_why(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    assert main(["validate", str(file)]) == 1
    assert message in capsys.readouterr().err


def test_a_manifest_of_any_size_or_encoding_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.yaml"
    for content, message in ((b"#" * 2_000_000, "more than 1048576 bytes"), (b"\xff\xfe\x00", "is not UTF-8 text")):
        file.write_bytes(content)
        assert main(["validate", str(file)]) == 1
        assert message in capsys.readouterr().err


def test_apply_tells_created_configured_and_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = f"--state={tmp_path / 'state'}"
    for document, outcome in (
        (manifest(), "created"),
        (manifest(), "unchanged"),
        (manifest(scenario="balance"), "configured"),
    ):
        assert main(["apply", "-f", write(tmp_path, document), state]) == 0
        captured = capsys.readouterr()
        assert captured.out == f"selfroutingcascade.disrouter.io/qwen {outcome}\n"
        assert "start it with `disrouter up`" in captured.err


def test_get_shows_what_was_applied_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = f"--state={tmp_path / 'state'}"
    assert main(["get", state]) == 0
    assert "no cascades; apply one" in capsys.readouterr().out
    main(["apply", "-f", write(tmp_path, manifest()), state])
    capsys.readouterr()
    assert main(["get", state]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "READY", "REASON", "AGENTS", "TRAINING", "URL", "AGE"]
    assert row.split()[:3] == ["qwen", "Unknown", "Pending"]
    assert main(["get", "qwen", "-o", "json", state]) == 0
    assert json.loads(capsys.readouterr().out)["spec"] == manifest()["spec"]
    assert main(["get", "-o", "yaml", state]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["items"][0]["metadata"]["name"] == "qwen"


@pytest.mark.parametrize("run", ["745972e653", "0o17", "1.5e3", "y", "off", "1:30", "2026-01-01"])
def test_yaml_quotes_what_is_no_text_to_other_readers(run: str) -> None:
    assert as_yaml({"servedRun": run, "cost": 0.1}) == f"servedRun: '{run}'\ncost: 0.1"


def test_delete_takes_a_name_or_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, file = f"--state={tmp_path / 'state'}", write(tmp_path, manifest())
    for target in (["qwen"], ["-f", file]):
        main(["apply", "-f", file, state])
        assert main(["delete", *target, state]) == 0
        assert "qwen deleted" in capsys.readouterr().out
    assert main(["delete", "qwen", state]) == 1
    assert "no cascade default/qwen; there are: none; apply one" in capsys.readouterr().err
    assert main(["delete", state]) == 1
    assert "a name, or -f FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "hi"], "there is no cascade; apply one"),
        (["logs", "small"], "no log of an agent 'small'; `disrouter ps` lists"),
        (["up", "no.yaml"], "cannot read no.yaml"),
        (["up", "--volume", "models"], "is not NAME=DIR; write for example"),
        (["up", "--volume", "models=no-such-folder"], "is not a folder; create it or correct the path"),
        (["wait", "qwen"], "so nothing will change; start it with `disrouter up`"),
    ],
)
def test_errors_are_one_line_with_a_remedy(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, f"--state={tmp_path / 'state'}"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_asking_a_cascade_without_an_endpoint_says_how_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = f"--state={tmp_path / 'state'}"
    main(["apply", "-f", write(tmp_path, manifest()), state])
    assert main(["ask", "hi", state]) == 1
    assert "qwen has no endpoint yet: Pending" in capsys.readouterr().err


def test_down_without_a_runtime_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", f"--state={tmp_path}"]) == 0
    assert "nothing runs on" in capsys.readouterr().out


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"disrouter {name}" in capsys.readouterr().out


def test_the_installed_command_starts_without_heavy_imports() -> None:
    code = "import sys; from disrouter_cli.main import main; main(['version']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, modules = done.stdout.splitlines()
    assert version.startswith("disrouter ")
    for heavy in ("torch", "openai", "kopf", "kubernetes", "yaml", "aiohttp"):
        assert f"'{heavy}'" not in modules


def test_progress_is_told_once_and_training_steps_now_and_then(tmp_path: Path) -> None:
    moment = 0.0
    narrator = Narrator(artifacts=lambda claim: tmp_path / claim, clock=lambda: moment)
    cascade = manifest(training={"artifacts": {"persistentVolumeClaim": "weights"}})
    cascade["metadata"]["generation"] = 1
    agent = {"name": "small", "phase": "SFT", "run": "abc", "awareness": "prompted"}
    cascade["status"] = {"observedGeneration": 1, "agents": [agent], "conditions": []}
    file = tmp_path / "weights" / "qwen" / "small" / "abc" / "sft" / "progress.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"step": 1, "of": 10, "seconds_left": 9.4}')
    first = list(narrator.lines(cascade))
    assert first[:2] == ["qwen/small: SFT (prompted)", "qwen/small: SFT step 1 of 10, 9 s left"]
    file.write_text('{"step": 2, "of": 10, "seconds_left": 8}')
    assert list(narrator.lines(cascade)) == []
    moment = 6.0
    assert list(narrator.lines(cascade)) == ["qwen/small: SFT step 2 of 10, 8 s left"]
    file.write_text("damaged")
    assert list(narrator.lines(cascade)) == []


def test_tables_and_ages_read_like_kubectls() -> None:
    assert table(["A", "BB"], [["1", "2"], ["longer", ""]]) == "A        BB\n1        2\nlonger"
    assert age("2026-01-01T00:00:00Z", now=_at("2026-01-01T00:01:30+00:00")) == "90s"
    assert age("2026-01-01T00:00:00Z", now=_at("2026-01-01T03:00:00+00:00")) == "3h"
    assert age("2026-01-01T00:00:00Z", now=_at("2026-01-09T00:00:00+00:00")) == "8d"


def _at(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)

"""The command line: mistakes answer at once, in one line that says what to do."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from disrouter_training.cli import main
from support.trainer import RUN


def write_run(folder: Path, **changes: Any) -> str:
    path = folder / "run.json"
    path.write_text(json.dumps({**RUN, **changes}))
    return str(path)


def fail(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command that must fail with code 1; the line it leaves for the operator."""
    log = tmp_path / "termination-log"
    monkeypatch.setenv("DISROUTER_TERMINATION_LOG", str(log))
    assert main([*arguments, "--artifacts", str(tmp_path / "artifacts"), "--pvc-root", str(tmp_path)]) == 1
    message = log.read_text()
    assert "\n" not in message
    return message


def test_help_does_not_wait_for_torch() -> None:
    program = "import sys, disrouter_training.cli as c; c._parser(); print('torch' in sys.modules)"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert time.monotonic() - started < 5


def test_a_missing_run_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = fail(["collect", "--run", str(tmp_path / "none.json")], tmp_path, monkeypatch)
    assert message == f"cannot read the run file {tmp_path}/none.json: No such file or directory"


def test_an_invalid_run_file_names_the_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, rl={"gamma": 5})
    assert "rl.gamma: Input should be less than or equal to 4" in fail(["rl", "--run", run], tmp_path, monkeypatch)


def test_a_stage_before_its_turn_says_which_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = fail(["sft", "--run", write_run(tmp_path)], tmp_path, monkeypatch)
    assert message.startswith("stage collect of run ")
    assert message.endswith("run it first")


def test_a_missing_dataset_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = fail(["collect", "--run", write_run(tmp_path)], tmp_path, monkeypatch)
    assert f"cannot read the questions {tmp_path}/data/questions.jsonl" in message


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pvc://models/none", "there is no such directory; check model.uri and the mounted claim"),
        ("pvc://data", "cannot load the tokenizer"),
        ("models/tiny", "is not an address disrouter knows; use hf://, pvc://, s3://, oci:// or file://"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named(
    uri: str, expected: str, volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(volumes / "data")
    message = fail(["collect", "--run", write_run(tmp_path, model=uri)], tmp_path, monkeypatch)
    assert expected in message


def test_a_model_without_a_chat_template_is_refused(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(volumes / "data")
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    for path in (volumes / "models" / "tiny").iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / "models" / "tiny" / path.name).symlink_to(path)
    message = fail(["collect", "--run", write_run(tmp_path)], tmp_path, monkeypatch)
    assert message.endswith("has no chat template; use an instruct model")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["collect"], "the following arguments are required: --run"),
        (["fly", "--run", "x"], "invalid choice: 'fly'"),
        (["report", "--run", "x", "--cost", "a=2", "--terminal", "b=c"], "the cost of a must lie in [0, 1], got 2"),
        (["report", "--run", "x", "--cost", "a", "--terminal", "b=c"], "'a' is not NAME=VALUE"),
    ],
)
def test_wrong_arguments_exit_with_two(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err

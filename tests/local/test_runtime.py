"""What a runtime keeps, holds and tidies in its state folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from disrouter_local.errors import AlreadyRunning
from disrouter_local.runtime import prune_logs
from disrouter_local.state import StateFolder
from disrouter_local.store.folder import Folder
from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import CONFIG_MAPS


def test_only_one_runtime_holds_a_folder_and_others_see_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    assert state.running() is None
    with state.held({"pid": 42}):
        assert state.running() == {"pid": 42}
        with (
            pytest.raises(AlreadyRunning, match=r"pid 42\) already holds .*stop it with `disrouter down`"),
            StateFolder(tmp_path / "state").held({"pid": 43}),
        ):
            pass
    assert state.running() is None


def test_folders_of_claims_are_remembered(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    assert state.volumes() == {}
    state.remember({"models": tmp_path})
    assert StateFolder(tmp_path / "state").volumes() == {"models": tmp_path}


def test_claims_without_a_folder_get_one_of_their_own(tmp_path: Path) -> None:
    claims = StateFolder(tmp_path).claims({"models": tmp_path / "elsewhere"})
    assert claims.folder("models") == (tmp_path / "elsewhere").resolve()
    assert claims.folder("weights") == (tmp_path / "volumes" / "weights").resolve()
    assert (tmp_path / "volumes" / "weights").is_dir()


def test_logs_of_old_pods_are_pruned(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "older", "oldest")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "runtime.log").write_text("stays")
    prune_logs(tmp_path, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newest", "runtime.log"]


def test_a_damaged_object_names_its_file_and_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "configmaps" / "default" / "c.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(KubeError, match=r"c\.json is damaged .*delete it, and apply the manifest again"):
        Folder(tmp_path).read(CONFIG_MAPS, "default", "c")

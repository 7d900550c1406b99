"""How tools judge any object: the generic rules of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus/status/generic.go)."""

from __future__ import annotations

from disrouter_operator.kube.resources import Object


def kstatus(obj: Object) -> str:
    """Current, InProgress, Failed or Terminating."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if conditions.get("Ready") in ("False", "Unknown") else "Current"

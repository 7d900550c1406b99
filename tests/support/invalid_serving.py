"""Manifests that ask for what a way to run agents cannot do."""

from __future__ import annotations

from support.manifest import Invalid, change_agent

SERVING = (
    Invalid(
        "zero replicas that keda could not wake",
        lambda m: change_agent(m, 1, replicas={"min": 0}, autoscaling={"autoscaler": "keda"}),
        "spec.agents[1].autoscaling.prometheus",
        "keda wakes an agent from 0 by what Prometheus says only",
        by_cel="keda wakes an agent from 0 by what Prometheus says only",
    ),
    Invalid(
        "an external agent that KServe should scale",
        lambda m: change_agent(m, 2, replicas={"min": 1, "max": 4}),
        "spec.agents[2].autoscaling",
        "autoscaler external and an autoscaler of your own",
        by_cel="an agent that is served elsewhere has as many pods",
    ),
    Invalid(
        "TLS behind Knative's gateway",
        lambda m: m["spec"].update(deploymentMode="Knative", tls={"secretName": "certificates"}),
        "spec.tls",
        "needs deploymentMode Standard",
        by_cel="spec.tls: needs deploymentMode Standard",
    ),
    Invalid(
        "network policies behind Knative's gateway",
        lambda m: m["spec"].update(deploymentMode="Knative", networkPolicy={"enabled": True}),
        "spec.networkPolicy.enabled",
        "all callers look alike",
        by_cel="spec.networkPolicy.enabled: needs deploymentMode Standard",
    ),
    Invalid(
        "an autoscaler that Knative does not ask",
        lambda m: (
            m["spec"].update(deploymentMode="Knative"),
            change_agent(m, 1, autoscaling={"autoscaler": "external"}),
        ),
        "spec.agents[1].autoscaling.autoscaler",
        "external needs deploymentMode Standard",
        by_cel="keda and external need deploymentMode Standard",
    ),
    Invalid(
        "a metric by which Knative never goes to zero",
        lambda m: (
            m["spec"].update(deploymentMode="Knative"),
            change_agent(m, 1, replicas={"min": 0}, autoscaling={"metric": "cpu"}),
        ),
        "spec.agents[1].replicas.min",
        "Knative never goes to 0 by cpu or memory",
        by_cel="Knative never goes to 0 by cpu or memory",
    ),
    Invalid(
        "more than all of a CPU",
        lambda m: (
            m["spec"].update(deploymentMode="Knative"),
            change_agent(m, 1, autoscaling={"metric": "cpu", "target": 200}),
        ),
        "spec.agents[1].autoscaling.target",
        "is a percentage for cpu and memory",
        by_cel="their target is a percentage",
    ),
    Invalid(
        "resources of an external agent",
        lambda m: change_agent(m, 2, resources={"limits": {"nvidia.com/gpu": "1"}}),
        "spec.agents[2].resources",
        "an agent that is served elsewhere has no engine here",
        by_cel="an agent that is served elsewhere has no engine here",
    ),
    Invalid(
        "an argument for the engine of an external agent",
        lambda m: change_agent(m, 2, engine={"args": ["--max-model-len=8192"]}),
        "spec.agents[2].engine.args",
        "an agent that is served elsewhere has no engine here",
        by_cel="an agent that is served elsewhere has no engine here",
    ),
    Invalid(
        "an argument for the engine of another's service",
        lambda m: change_agent(
            m,
            2,
            external=None,
            serviceRef={"kind": "LLMInferenceService", "name": "llama"},
            engine={"args": ["--max-model-len=8192"]},
        ),
        "spec.agents[2].engine.args",
        "an agent that is served elsewhere has no engine here",
        by_cel="an agent that is served elsewhere has no engine here",
    ),
    Invalid(
        "a service of a kind that KServe does not have",
        lambda m: change_agent(m, 2, external=None, serviceRef={"kind": "InferenceGraph", "name": "llama"}),
        "spec.agents[2].serviceRef.kind",
        "'InferenceService' or 'LLMInferenceService'",
        by_schema=True,
    ),
    Invalid(
        "a path that is an address",
        lambda m: change_agent(
            m, 2, external=None, serviceRef={"kind": "InferenceService", "name": "llama", "path": "http://llama/v1"}
        ),
        "spec.agents[2].serviceRef.path",
        "write a path such as /v1 or /openai/v1",
        by_schema=True,
    ),
    Invalid(
        "a header of the connection",
        lambda m: change_agent(
            m,
            2,
            external={"url": "https://api.example.com/v1", "model": "big", "headers": [{"name": "Host", "value": "x"}]},
        ),
        "spec.agents[2].external.headers[0].name",
        "Host cannot be set",
        by_cel="transfer-encoding, connection, content-type, accept-encoding cannot be set",
    ),
    Invalid(
        "an address in the place of a host's name",
        lambda m: m["spec"].update(ingress={"hosts": ["https://llm.example.com/v1"]}),
        "spec.ingress.hosts[0]",
        "write a host name such as llm.example.com",
        by_schema=True,
    ),
    Invalid(
        "a route without a gateway",
        lambda m: m["spec"].update(httpRoute={"parentRefs": []}),
        "spec.httpRoute.parentRefs",
        "needs at least 1 item; add one",
        by_schema=True,
    ),
    Invalid(
        "an environment that KServe refuses",
        lambda m: change_agent(m, 1, engine={"env": [{"name": "PYTHONPATH", "value": "/x"}]}),
        "spec.agents[1].engine.env[0]",
        "PYTHONPATH is not yours to set",
        by_cel="are not yours to set",
    ),
)

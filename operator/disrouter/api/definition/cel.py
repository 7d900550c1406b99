"""Rules over fields as CEL (`x-kubernetes-validations`), worded like `rules`.

`rules` stays the authority, so an API server that drops rules does no harm. Agents are compared by name and
position, never as whole objects. An API server refuses a definition whose rules could cost too much, and what it knows
no bound of counts as endless: every text in a list that a rule makes with `map`, on older servers the list itself. So
rules walk only what the models bound and what is written out here, and match no long patterns: these cost the length of
the text times their own. Nothing here needs more than Kubernetes 1.30.
"""

from __future__ import annotations

import itertools

from disrouter.api.agent import ENGINE_OWNED, ENGINE_OWNED_ENV
from disrouter.api.spec import MAX_AGENTS
from disrouter.artifacts import RlConfig, SftConfig
from disrouter.names import FRAMING_HEADERS
from disrouter.recipe import RECIPES

Rule = dict[str, str]

_PLACES = str(list(range(MAX_AGENTS)))
"""Every place that an agent may have."""
_LAST = "self.agents[size(self.agents) - 1]"
_TRAINED = f"(has(a.selfAwareness) ? a.selfAwareness.mode == 'trained' : has(self.training) && a.name != {_LAST}.name)"
"""Whether agent `a` is to be trained; one that is served elsewhere never is."""
_ELSEWHERE = "has(a.external) || has(a.serviceRef)"
"""Whether the engine of agent `a` is somebody else's."""
_OWN_ELSEWHERE = _ELSEWHERE.replace("a.", "self.")
_PROCESSES = "(has(self.jobs) ? self.jobs.nodes * self.jobs.processesPerNode : 1)"
"""That train one model together; absent objects get no defaults from the schema."""


def _chosen(stage: str, field: str) -> str:
    """What a training's field is: as given, else as its recipe says, else its default."""
    absent = {"sft": SftConfig(), "rl": RlConfig()}[stage]
    usual = absent.model_dump(by_alias=True)[field]
    named = {str(recipe): choices[stage].get(field, usual) for recipe, choices in RECIPES.items()}
    unset = f"(has(self.recipe) ? {named}[self.recipe] : {usual})"
    return f"(has(self.{stage}) && has(self.{stage}.{field}) ? self.{stage}.{field} : {unset})"


def _later(name: str) -> str:
    """Whether the agent called `name` stands behind place `i`."""
    return f"{_PLACES}.exists(j, j > i && j < size(self.agents) && self.agents[j].name == {name})"


def _spellings(flag: str) -> list[str]:
    """vLLM takes `_` for `-` inside a flag."""
    first, *rest = flag.split("-")[2:]
    choices = itertools.product("-_", repeat=len(rest))
    return [f"--{first}" + "".join(map("".join, zip(signs, rest, strict=True))) for signs in choices]


_OWNED = " || ".join(
    f"f == '{spelt}' || f.startsWith('{spelt}=') || f.startsWith('{spelt} ')"
    for flag in ENGINE_OWNED
    for spelt in _spellings(flag)
)

CASCADE_RULES: tuple[Rule, ...] = (
    {
        "rule": "!has(self.spec.aliases) || self.spec.aliases.all(a,"
        " (a.name + '/').substring(0, (a.name + '/').indexOf('/')) != self.metadata.name)",
        "message": "spec.aliases[].name: the cascade's own name and all that begins with it and '/' are taken; use "
        "another",
    },
)
"""Over the whole resource: only here its name can be read, of which servers know no bound. So what is compared with it
is cut from the alias, and it is joined with nothing."""
SPEC_RULES: tuple[Rule, ...] = (
    {
        "rule": "!(has(self.scenario) && has(self.preference))",
        "message": "spec.preference contradicts spec.scenario; give one of the two",
    },
    {
        "rule": "!has(self.auth) || !has(self.auth.apiKeysSecret) || has(self.auth.hopTokenSecretRef)",
        "message": "spec.auth.apiKeysSecret: needs hopTokenSecretRef, or agents could not ask each other; give it",
    },
    {
        "rule": "!(has(self.httpRoute) || has(self.ingress))"
        " || (has(self.auth) && (has(self.auth.apiKeysSecret) || self.auth.anonymous))",
        "message": "spec.httpRoute and spec.ingress: publish to whoever reaches them; give spec.auth.apiKeysSecret, or "
        "set spec.auth.anonymous where something before it asks for identities",
    },
    {
        "rule": f"{_PLACES}.all(i, i == 0 || i >= size(self.agents) || self.agents[i - 1].cost <= self.agents[i].cost)",
        "message": "spec.agents: order the agents by cost, cheapest first",
    },
    {
        "rule": "self.agents.all(a, !has(a.next) || self.agents.exists(b, b.name == a.next))",
        "message": "spec.agents[].next: no agent has that name; use one of spec.agents[].name",
    },
    {
        "rule": f"{_PLACES}.all(i, i >= size(self.agents) || !has(self.agents[i].next)"
        f" || !self.agents.exists(b, b.name == self.agents[i].next) || {_later('self.agents[i].next')})",
        "message": "spec.agents[].next: leads back and forms a cycle; route to a later, costlier agent",
    },
    {
        "rule": f"{_PLACES}.all(i, i == 0 || i >= size(self.agents) || !has(self.agents[i - 1].next)"
        " || (has(self.entrypoint) && self.agents[i].name == self.entrypoint)"
        " || self.agents.exists(a, has(a.next) && a.next == self.agents[i].name))",
        "message": "spec.agents: no route reaches one of the agents; name it as an earlier agent's next",
    },
    {
        "rule": f"self.agents.all(a, a.name == {_LAST}.name"
        " || !has(a.selfAwareness) || a.selfAwareness.mode != 'none')",
        "message": "spec.agents: exactly one agent may be terminal, the last; use mode trained or prompted before it",
    },
    {
        "rule": f"!has({_LAST}.next) && (!has({_LAST}.selfAwareness) || {_LAST}.selfAwareness.mode == 'none')",
        "message": "spec.agents: the last agent always answers; remove its next and selfAwareness",
    },
    {
        "rule": "has(self.training) || self.agents.all(a, !has(a.selfAwareness) || a.selfAwareness.mode != 'trained')",
        "message": "spec.training: an agent is to be trained but there is no dataset; give datasets and artifacts",
    },
    {
        "rule": "self.agents.all(a, !has(a.model) || !(a.model.uri.startsWith('s3://') || a.model.uri.startsWith('oci://'))"
        f" || !{_TRAINED})",
        "message": "spec.agents[].model.uri: an agent on s3:// or oci:// cannot be trained; copy it to a claim, or use "
        "prompted",
    },
    {
        "rule": f"self.agents.all(a, !has(a.model) || !has(a.model.adapter) || !{_TRAINED})",
        "message": "spec.agents[].model.adapter: an agent with an adapter is not trained; set selfAwareness.mode to "
        "prompted or none",
    },
    {
        "rule": "!has(self.entrypoint) || self.agents.exists(a, a.name == self.entrypoint)",
        "message": "spec.entrypoint: no agent has that name; use one of spec.agents[].name",
    },
    {
        "rule": "!has(self.aliases) || self.aliases.all(l, !has(l.agent) || self.agents.exists(a, a.name == l.agent))",
        "message": "spec.aliases[].agent: no agent has that name; use one of spec.agents[].name",
    },
    {
        "rule": "self.agents.all(a, a.name != (has(self.entrypoint) ? self.entrypoint : self.agents[0].name)"
        " || !has(a.replicas) || a.replicas.min > 0)",
        "message": "spec.agents[].replicas.min: the agent that requests enter at must stay up; use 1 or more",
    },
    {
        "rule": f"self.deploymentMode == 'Knative' || self.agents.all(a, {_ELSEWHERE} || !has(a.replicas)"
        " || a.replicas.min > 0 || (has(a.autoscaling) && a.autoscaling.autoscaler in ['keda', 'external']))",
        "message": "spec.agents[].replicas.min: only Knative, keda or an external autoscaler goes to 0; use 1 or more",
    },
    {
        "rule": f"self.deploymentMode == 'Knative' || self.agents.all(a, {_ELSEWHERE} || !has(a.autoscaling)"
        " || !has(a.autoscaling.metric) || a.autoscaling.metric in ['cpu', 'memory']"
        " || a.autoscaling.autoscaler == 'hpa' || has(a.autoscaling.prometheus))",
        "message": "spec.agents[].autoscaling.metric: concurrency and rps need the autoscaler keda and prometheus, "
        "hpa, or Knative",
    },
    {
        "rule": f"self.deploymentMode == 'Knative' || self.agents.all(a, {_ELSEWHERE} || !has(a.replicas)"
        " || a.replicas.min > 0 || !has(a.autoscaling) || a.autoscaling.autoscaler != 'keda'"
        " || has(a.autoscaling.prometheus))",
        "message": "spec.agents[].autoscaling.prometheus: keda wakes an agent from 0 by what Prometheus says only; "
        "give its address",
    },
    {
        "rule": f"self.deploymentMode != 'Knative' || self.agents.all(a, {_ELSEWHERE} || !has(a.autoscaling)"
        " || !(a.autoscaling.autoscaler in ['keda', 'external']))",
        "message": "spec.agents[].autoscaling.autoscaler: keda and external need deploymentMode Standard; leave it out",
    },
    {
        "rule": f"self.deploymentMode != 'Knative' || self.agents.all(a, {_ELSEWHERE} || !has(a.autoscaling)"
        " || !has(a.autoscaling.metric) || !(a.autoscaling.metric in ['cpu', 'memory'])"
        " || (a.autoscaling.target <= 100 && (!has(a.replicas) || a.replicas.min > 0)))",
        "message": "spec.agents[].autoscaling: Knative never goes to 0 by cpu or memory, their target is a percentage; "
        "use replicas.min 1 or more and a target of 1 to 100, or metric concurrency or rps",
    },
    {
        "rule": "self.deploymentMode != 'Knative' || !has(self.tls)",
        "message": "spec.tls: needs deploymentMode Standard; Knative's gateway has certificates of its own",
    },
    {
        "rule": "self.deploymentMode != 'Knative' || !has(self.networkPolicy) || !self.networkPolicy.enabled",
        "message": "spec.networkPolicy.enabled: needs deploymentMode Standard; behind Knative's gateway all callers "
        "look alike",
    },
    {
        "rule": "self.agents.all(a, !has(a.decision) || a.decision.mode != 'probability'"
        f" || (has(a.model) && {_TRAINED}))",
        "message": "spec.agents[].decision.mode: only a trained agent's probability is calibrated; use text",
    },
    {
        "rule": "self.agents.all(a, !has(a.decision) || !has(a.decision.jump) || a.decision.mode == 'probability')",
        "message": "spec.agents[].decision.jump: needs mode probability",
    },
    {
        "rule": f"{_PLACES}.all(i, i >= size(self.agents) || !has(self.agents[i].decision)"
        f" || !has(self.agents[i].decision.jump) || {_later('self.agents[i].decision.jump.to')})",
        "message": "spec.agents[].decision.jump.to: name a later, costlier agent",
    },
    {
        "rule": "has(self.training) || self.agents.all(a, !has(a.revision))",
        "message": "spec.agents[].revision: without spec.training there is no run to serve; remove it",
    },
    {
        "rule": f"self.agents.all(a, !has(a.revision) || !has(self.training) || (has(a.model) && {_TRAINED}))",
        "message": "spec.agents[].revision: an agent that is not trained has no runs; remove it",
    },
)
AGENT_RULES: tuple[Rule, ...] = (
    {
        "rule": f"has(self.model) ? !({_OWN_ELSEWHERE}) : has(self.external) != has(self.serviceRef)",
        "message": "give exactly one of model, external and serviceRef",
    },
    {
        "rule": f"!({_OWN_ELSEWHERE}) || !has(self.selfAwareness) || self.selfAwareness.mode != 'trained'",
        "message": "weights that are served elsewhere (external, serviceRef) cannot be trained here; use prompted, or "
        "none if last",
    },
    {
        "rule": f"!({_OWN_ELSEWHERE}) || (!has(self.resources) && (!has(self.engine) ||"
        " (!has(self.engine.args) || size(self.engine.args) == 0)"
        " && (!has(self.engine.env) || size(self.engine.env) == 0)))",
        "message": "an agent that is served elsewhere has no engine here; remove resources, engine.args and engine.env",
    },
    {
        "rule": f"!({_OWN_ELSEWHERE}) || (has(self.autoscaling) && self.autoscaling.autoscaler == 'external')"
        " || ((!has(self.autoscaling) || self.autoscaling.autoscaler == 'none')"
        " && (!has(self.replicas) || (self.replicas.min >= self.replicas.max && self.replicas.min > 0)))",
        "message": "autoscaling: an agent that is served elsewhere has as many pods as replicas.min and max agree on, "
        "or autoscaler external",
    },
)
MODEL_RULES: tuple[Rule, ...] = (
    {
        "rule": "self.uri.startsWith('hf://') || !(has(self.revision) || has(self.tokenSecretRef) || has(self.cache))",
        "message": "model: revision, tokenSecretRef and cache are for a model of the Hub (hf://); remove them",
    },
)
ENGINE_RULES: tuple[Rule, ...] = (
    {
        "rule": f"!has(self.env) || self.env.all(e, !(e.name in {list(ENGINE_OWNED_ENV)!r}))",
        "message": f"engine.env: {', '.join(ENGINE_OWNED_ENV)} are not yours to set; remove them",
    },
    {
        "rule": f"!has(self.args) || self.args.all(f, !({_OWNED}))",
        "message": f"engine.args: disrouter sets {', '.join(ENGINE_OWNED)}; remove them",
    },
)
REPLICAS_RULES: tuple[Rule, ...] = (
    {"rule": "self.min <= self.max", "message": "replicas: min exceeds max; lower min or raise max"},
)
AUTOSCALING_RULES: tuple[Rule, ...] = (
    {
        "rule": "(!has(self.query) || has(self.prometheus)) && (!has(self.prometheus) || self.autoscaler == 'keda')",
        "message": "autoscaling: query needs prometheus, and prometheus needs autoscaler keda",
    },
    {
        "rule": "!has(self.prometheus) || has(self.query) || !has(self.metric)"
        " || self.metric in ['concurrency', 'rps']",
        "message": "autoscaling.prometheus: cpu and memory are not asked of it; remove it, or use concurrency, rps or "
        "a query",
    },
)
VALUE_RULES: tuple[Rule, ...] = (
    {"rule": "has(self.value) != has(self.secretKeyRef)", "message": "give exactly one of value and secretKeyRef"},
)
HEADER_RULES: tuple[Rule, ...] = (
    {
        "rule": f"!(self.name.lowerAscii() in {list(FRAMING_HEADERS)!r})",
        "message": f"external.headers: {', '.join(FRAMING_HEADERS)} cannot be set; remove them",
    },
)
POD_RULES: tuple[Rule, ...] = (
    {
        "rule": "!has(self.labels) || self.labels.all(k, !k.startsWith('disrouter.io/'))",
        "message": "pod.labels: disrouter.io/ labels are disrouter's to set; remove them",
    },
)
TRAINING_RULES: tuple[Rule, ...] = (
    {
        "rule": f"{_chosen('sft', 'batchSize')} % {_PROCESSES} == 0",
        "message": "training.sft.batchSize: jobs.nodes times jobs.processesPerNode processes cannot share it equally; "
        "make it a multiple of their number",
    },
    {
        "rule": f"{_chosen('rl', 'promptsPerStep')} * {_chosen('rl', 'generations')} % {_PROCESSES} == 0",
        "message": "training.rl.promptsPerStep: jobs.nodes times jobs.processesPerNode processes cannot share it times "
        "rl.generations equally; make that a multiple of their number",
    },
)
DATASET_RULES: tuple[Rule, ...] = (
    {"rule": "has(self.id) != has(self.file)", "message": "give exactly one of id and file"},
    {"rule": "!has(self.format) || has(self.file)", "message": "format is for a file; a Hub dataset has its own"},
)

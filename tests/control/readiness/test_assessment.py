"""When a replica calls itself ready, what it says is missing, and how often it says so."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from disrouter_operator.errors import KubeError, Unreachable
from disrouter_operator.kube.observed import CHILDREN, OPTIONAL
from disrouter_operator.kube.resources import (
    CASCADES,
    CONFIG_MAPS,
    EVENTS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    INGRESSES,
    JOBS,
    LLM_INFERENCE_SERVICES,
    PODS,
    SERVICES,
    TRAIN_JOBS,
    Resource,
)
from disrouter_operator.readiness.assessment import GRACE, SETTLING, Facts, Role, State, SurveyResult, step
from disrouter_operator.readiness.monitor import DEAD_SECONDS, Pod, ReadinessMonitor
from disrouter_operator.readiness.open_watches import Closed, OpenWatches
from disrouter_operator.readiness.survey import HURRY_SECONDS, LOOK_SECONDS, RIGHTS_SECONDS, Survey
from disrouter_operator.status.events import Note
from disrouter_operator.telemetry.metrics import Metrics
from support.kube_fake import KubeFake

FINE = SurveyResult(frozenset({TRAIN_JOBS}))
LEADS = Facts(Role.LEADER, FINE, listed=True)
WAITS = "403: pods is forbidden"


class _Replica:
    """Steps through a life, second by second."""

    def __init__(self) -> None:
        self.state, self.now = State(), 0.0

    def at(self, seconds: float, facts: Facts) -> list[str]:
        """What it says `seconds` later."""
        self.now += seconds
        self.state, notes = step(self.state, facts, self.now)
        return [note.message for note in notes]


def test_a_leader_is_ready_once_its_first_list_is_through_and_every_watch_is_open() -> None:
    replica = _Replica()
    assert replica.at(0, Facts()) == []
    assert replica.state.trouble == "the API server has not answered yet"
    replica.at(0.1, Facts(Role.LEADER, FINE))
    assert replica.state.trouble == "the first list of the cascades is not through"
    replica.at(0.1, replace(LEADS, closed={PODS: Closed(), JOBS: Closed("list: HTTP 500")}))
    assert replica.state.trouble == "the watch of pods, jobs.batch is not open: list: HTTP 500"
    assert replica.at(0.1, LEADS) == ["ready: this replica leads and its watches are open"]
    assert replica.state.trouble is None
    assert replica.at(100, LEADS) == []


def test_a_standby_is_ready_when_it_may_list_each_kind_and_must_earn_it_again_when_it_leads() -> None:
    replica = _Replica()
    replica.at(0, Facts(findings=FINE))
    assert replica.state.trouble == "it is not known yet who leads"
    replica.at(1, Facts(Role.STANDBY, SurveyResult(forbidden={PODS: WAITS})))
    assert "cannot list pods" in str(replica.state.trouble)
    assert replica.at(1, Facts(Role.STANDBY, FINE)) == ["ready: this replica stands by"]
    replica.at(60, Facts(Role.LEADER, FINE, closed={PODS: Closed()}))
    assert replica.state.trouble == "the watch of pods is not open"
    assert replica.at(1, LEADS) == ["ready: this replica leads and its watches are open"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            Facts(Role.STANDBY, SurveyResult(frozenset({CASCADES}))),
            "not ready: the definition selfroutingcascades.disrouter.io is not installed; "
            "install the chart disrouter-crds, or `kubectl apply -f crds/`",
        ),
        (
            Facts(Role.STANDBY, SurveyResult(forbidden={SERVICES: "403: services is forbidden", PODS: WAITS})),
            "not ready: cannot list pods, services: 403: pods is forbidden; let the chart bind its role "
            "(rbac.create: true), or grant the rules of charts/disrouter/templates/rbac.yaml",
        ),
        (
            Facts(Role.CANDIDATE, FINE, lease_refused="403: leases is forbidden"),
            "not ready: cannot read and write leases.coordination.k8s.io: 403: leases is forbidden; let the chart "
            "bind its role (rbac.create: true), or grant the rules of charts/disrouter/templates/rbac.yaml",
        ),
        (
            replace(LEADS, closed={JOBS: Closed("watch: HTTP 403", refused=True), PODS: Closed()}),
            "not ready: cannot watch jobs.batch: watch: HTTP 403; let the chart bind its role (rbac.create: true), "
            "or grant the rules of charts/disrouter/templates/rbac.yaml",
        ),
    ],
)
def test_what_is_missing_is_said_once_with_the_remedy(facts: Facts, said: str) -> None:
    replica = _Replica()
    assert replica.at(0, facts) == []
    assert replica.at(SETTLING, facts) == [said]
    assert replica.at(1000, facts) == []
    assert str(replica.state.trouble) == said.removeprefix("not ready: ")
    assert replica.at(1, LEADS) == ["ready: this replica leads and its watches are open"]
    assert replica.at(1, LEADS) == []


def test_rights_that_come_one_by_one_are_no_news_and_one_that_goes_too_is() -> None:
    replica = _Replica()
    replica.at(0, Facts(Role.STANDBY, SurveyResult(forbidden={PODS: WAITS, JOBS: WAITS})))
    assert len(replica.at(SETTLING, Facts(Role.STANDBY, SurveyResult(forbidden={PODS: WAITS, JOBS: WAITS})))) == 1
    assert replica.at(1, Facts(Role.STANDBY, SurveyResult(forbidden={JOBS: WAITS}))) == []
    assert len(replica.at(1, Facts(Role.STANDBY, SurveyResult(forbidden={JOBS: WAITS, SERVICES: WAITS})))) == 1


def test_without_kserve_it_is_ready_and_says_what_waits() -> None:
    replica = _Replica()
    facts = replace(LEADS, findings=SurveyResult(frozenset({INFERENCE_SERVICES})))
    assert replica.at(0, facts) == ["ready: this replica leads and its watches are open"]
    assert replica.at(SETTLING, facts) == [
        "KServe is not installed (there is no definition inferenceservices.serving.kserve.io): agents with a model "
        "wait, cascades of external agents work; install KServe (docs/install.md)",
    ]
    assert replica.state.trouble is None
    assert replica.at(100, LEADS) == ["KServe is installed: agents with a model are served"]


def test_a_kind_that_may_not_be_listed_and_can_be_done_without_is_told_and_keeps_it_ready() -> None:
    replica = _Replica()
    facts = replace(LEADS, findings=SurveyResult(forbidden={TRAIN_JOBS: "403: no"}))
    replica.at(0, facts)
    (said,) = replica.at(SETTLING, facts)
    assert said.startswith("cannot list trainjobs.trainer.kubeflow.org, which is taken for absent: 403: no; ")
    assert replica.state.trouble is None


def test_rights_that_are_kept_back_on_purpose_are_no_news() -> None:
    replica = _Replica()
    facts = replace(LEADS, findings=SurveyResult(forbidden={INGRESSES: "403: no", HTTP_ROUTES: "403: no"}))
    assert replica.at(0, facts) == ["ready: this replica leads and its watches are open"]
    assert replica.at(1000, facts) == []


def test_a_blip_moves_nothing_and_what_lasts_does() -> None:
    replica, away = _Replica(), replace(LEADS, findings=replace(FINE, away="connection refused"))
    replica.at(0, LEADS)
    assert replica.at(10, away) == []
    assert replica.at(GRACE - 1, away) == []
    assert replica.state.trouble is None
    assert replica.at(1, LEADS) == []
    assert replica.at(1, away) == []
    assert replica.at(GRACE, away) == ["not ready: asking the API server fails: connection refused"]
    assert replica.state.trouble == "asking the API server fails: connection refused"
    assert replica.at(1, LEADS) == ["ready: this replica leads and its watches are open"]


def test_watches_that_break_one_after_the_other_are_one_trouble() -> None:
    replica = _Replica()
    replica.at(0, LEADS)
    for second in range(int(GRACE)):
        kind = (PODS, JOBS)[second % 2]
        assert replica.at(1, replace(LEADS, closed={kind: Closed("list: HTTP 500")})) == []
    assert len(replica.at(1, replace(LEADS, closed={PODS: Closed("list: HTTP 500")}))) == 1


def test_an_api_server_that_has_just_started_and_refuses_everybody_is_no_news() -> None:
    replica, missing = _Replica(), Facts(Role.STANDBY, SurveyResult(forbidden={PODS: WAITS}))
    assert replica.at(0, Facts(Role.STANDBY, SurveyResult(away="connection refused"))) == []
    assert replica.at(SETTLING - 1, missing) == []
    assert replica.at(SETTLING - 1, Facts(Role.STANDBY, FINE)) == ["ready: this replica stands by"]


def test_what_a_start_goes_through_is_worth_a_line_only_when_it_lasts() -> None:
    replica = _Replica()
    stuck = replace(LEADS, closed={PODS: Closed()}, failure="failure: KeyError: 'getpwuid(): uid not found: 65532'")
    assert replica.at(0, stuck) == []
    assert replica.at(SETTLING, stuck) == [
        "not ready: the watch of pods is not open: failure: KeyError: 'getpwuid(): uid not found: 65532'"
    ]


def test_a_watch_without_objects_is_open_when_the_api_server_answers_it() -> None:
    streams = OpenWatches([CASCADES, PODS], ["a", "b"])
    streams.note((PODS, "a"), None)
    streams.note((CASCADES, "a"), None)
    streams.note((CASCADES, "b"), None)
    streams.note((PODS, "b"), Closed("list: HTTP 500"))
    streams.note((PODS, "b"), Closed())
    assert streams.missing() == {PODS: Closed("list: HTTP 500")}, "why stays known while it is asked again"
    assert OpenWatches([PODS], ["a", "b"], streams).missing() == {PODS: Closed("list: HTTP 500")}
    streams.note((PODS, "b"), None)
    assert streams.missing() == {}
    streams.note((PODS, "b"), Closed())
    assert streams.missing() == {PODS: Closed()}


class _Server:
    """An API server that has every kind but `absent`, and refuses to list `refused`."""

    def __init__(self) -> None:
        self.absent: set[Resource] = set()
        self.errors: dict[Resource, KubeError] = {}
        self.asked: list[Resource] = []

    async def serves(self, resource: Resource) -> bool:
        return resource not in self.absent

    async def reach(self, resource: Resource, namespace: str | None) -> None:
        self.asked.append(resource)
        if resource in self.errors:
            raise self.errors[resource]


async def test_each_kind_is_asked_for_in_each_namespace_and_absent_ones_are_not() -> None:
    server = _Server()
    server.absent = {TRAIN_JOBS}
    server.errors = {PODS: KubeError("GET /api/v1/pods: 403: pods is forbidden", 403)}
    found = await Survey(server, ["a", "b"]).look()
    assert found == SurveyResult(frozenset({TRAIN_JOBS}), {PODS: "403: pods is forbidden"})
    assert not found.usable
    assert server.asked.count(JOBS) == 2
    assert TRAIN_JOBS not in server.asked


async def test_an_api_server_that_does_not_answer_leaves_known_what_was_known() -> None:
    server = _Server()
    server.absent = {INFERENCE_SERVICES}
    survey = Survey(server)
    await survey.look()
    server.errors = {CONFIG_MAPS: Unreachable("GET /api/v1/configmaps: connection refused")}
    server.absent = {INFERENCE_SERVICES, TRAIN_JOBS}
    found = await survey.look()
    assert found == SurveyResult(frozenset({INFERENCE_SERVICES}), away="connection refused")
    assert not found.usable
    server.errors.clear()
    assert (await survey.look()).usable


async def test_rights_that_are_there_are_asked_for_once_a_minute_and_missing_ones_with_every_look() -> None:
    server = _Server()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            server.errors = {JOBS: KubeError("GET /jobs: 403: no", 403)}
        if len(pauses) == 24:
            raise asyncio.CancelledError

    survey = Survey(server, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await survey.run()
    before = 12 * LOOK_SECONDS / RIGHTS_SECONDS
    assert pauses == [LOOK_SECONDS] * 12 + [HURRY_SECONDS] * 12
    assert server.asked.count(JOBS) == before + 12
    assert set(server.asked) == {CASCADES, *CHILDREN}
    assert survey.findings is not None
    assert survey.findings.unwatched == frozenset()
    assert set(OPTIONAL) - {LLM_INFERENCE_SERVICES} <= set(server.asked), "the last is read one by one, never listed"


async def test_rights_that_are_kept_back_on_purpose_are_asked_for_once_a_minute_and_stay_known() -> None:
    server, pauses = _Server(), []
    server.errors = {INGRESSES: KubeError("GET /ingresses: 403: no", 403)}

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        assert survey.findings is not None
        assert survey.findings.unwatched == {INGRESSES}, "or the watches would be started again"
        if len(pauses) == 12:
            raise asyncio.CancelledError

    survey = Survey(server, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await survey.run()
    assert server.asked.count(INGRESSES) == 12 * LOOK_SECONDS / RIGHTS_SECONDS


class _Life:
    """A monitor on a clock of its own."""

    def __init__(self) -> None:
        self.now, self.facts, self.lag, self.kube = 0.0, LEADS, 0.0, KubeFake()
        self.metrics = Metrics()
        pod = Pod("disrouter", "disrouter-6f-abc", "uid-1")
        self.monitor = ReadinessMonitor(
            lambda: self.facts, self.metrics, lambda: self.lag, self.kube, pod, monotonic=lambda: self.now
        )

    def at(self, seconds: float, facts: Facts) -> str | None:
        self.now, self.facts = self.now + seconds, facts
        self.monitor.look()
        return self.monitor.dead()


def test_watches_that_stay_dead_for_a_minute_although_the_api_server_answers_need_a_new_process() -> None:
    life, closed = _Life(), replace(LEADS, closed={PODS: Closed("TimeoutError: ")})
    assert life.at(0, LEADS) is None
    assert life.at(1, closed) is None
    assert life.at(DEAD_SECONDS - 1, closed) is None
    assert "the watch of pods is not open: TimeoutError" in str(life.at(1, closed))
    assert life.at(1, LEADS) is None


@pytest.mark.parametrize(
    "facts",
    [
        replace(LEADS, closed={PODS: Closed()}, findings=replace(FINE, away="connection refused")),
        replace(LEADS, closed={PODS: Closed()}, findings=SurveyResult(frozenset({CASCADES}))),
        replace(LEADS, closed={PODS: Closed()}, findings=SurveyResult(forbidden={PODS: WAITS})),
        replace(LEADS, closed={PODS: Closed("watch: HTTP 403", refused=True)}),
        Facts(Role.STANDBY, FINE, closed={PODS: Closed()}),
    ],
)
def test_no_new_process_is_asked_for_where_it_could_do_no_better(facts: Facts) -> None:
    life = _Life()
    life.at(0, LEADS)
    assert life.at(1, facts) is None
    assert life.at(10 * DEAD_SECONDS, facts) is None


def test_a_watch_that_is_open_and_stays_silent_is_dead_too() -> None:
    life = _Life()
    life.lag = 5.0
    assert life.at(0, LEADS) is None
    assert "a watch is silent" in str(life.at(DEAD_SECONDS, LEADS))
    life.lag = 0.0
    assert life.at(1, LEADS) is None


async def test_each_change_is_a_line_a_metric_and_an_event_of_the_operators_pod(
    caplog: pytest.LogCaptureFixture,
) -> None:
    life, missing = _Life(), Facts(Role.LEADER, SurveyResult(frozenset({CASCADES})))
    with caplog.at_level(logging.INFO, "disrouter_operator"):
        for facts in (missing, missing, missing, LEADS, LEADS):
            life.facts, life.now = facts, life.now + SETTLING
            await life.monitor._report(life.monitor.look())
            value = life.metrics.registry.get_sample_value
            labels = {"reason": "DefinitionMissing", "kind": "selfroutingcascades.disrouter.io"}
            assert value("disrouter_operator_ready") == (facts is LEADS)
            assert value("disrouter_operator_problem", labels) == (1 if facts is missing else None)
    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]
    events = [obj for (kind, *_), obj in life.kube.objects.items() if kind == EVENTS]
    assert [(each["type"], each["reason"]) for each in events] == [
        ("Warning", "DefinitionMissing"),
        ("Normal", "Ready"),
    ]
    assert events[0]["involvedObject"] == {
        **{"apiVersion": "v1", "kind": "Pod", "namespace": "disrouter", "name": "disrouter-6f-abc", "uid": "uid-1"}
    }


def test_an_event_fits_the_api_servers_limit_and_says_when() -> None:
    life = _Life()
    assert life.monitor.pod is not None
    event = life.monitor.pod.event(Note("Warning", "Forbidden", "x" * 5000), life.monitor.clock())
    assert len(event["message"]) == 1024
    assert event["count"] == 1

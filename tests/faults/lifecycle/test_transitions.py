"""However a resource came to its spec, it ends like one that was created with it; and no error is for ever."""

import itertools
import json
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from llmi_testing.eventually import eventually
from llmi_testing.examples import SEED, choose_seed
from llmi_testing.inference import make_body
from llmi_testing.outcome import differences, is_at_rest, read_outcome
from llmi_testing.specs import HUGE_MEMORY, NO_IMAGE, NO_NODE, SMALLEST, generate, is_valid, mutate

pytestmark = pytest.mark.faults
NAME = "walked"
STEPS = 12
SECONDS = 90.0
MOST_REPLICAS = 3
NUMBERS = st.integers(0, 2**32)


class Run:
    """What all chains of one run share: the API, the operator, and the counts."""

    def __init__(self, api, least):
        self.api, self.least = api, least
        self.seed = choose_seed()
        self.numbers = itertools.count(1)
        self.transitions = self.refused = self.bad = self.restored = 0


def tame(spec):
    """Fewer replicas: what they are is generated as well, how many makes only work."""
    spec = json.loads(json.dumps(spec))
    if "replicas" in spec:
        spec["replicas"] %= MOST_REPLICAS + 1
    scaling = spec.get("autoscaling")
    if scaling:
        scaling["maxReplicas"] = 1 + scaling["maxReplicas"] % MOST_REPLICAS
        scaling["minReplicas"] = min(1 + scaling.get("minReplicas", 1) % MOST_REPLICAS, scaling["maxReplicas"])
    return spec


def change_one(spec, random):
    """Another valid spec that differs in one property."""
    for _ in range(200):
        changed = mutate(spec, random, unusual=False)
        if is_valid(changed) and tame(changed) != spec:
            return tame(changed)
    return SMALLEST


def spoil(spec, random):
    """What admission takes and no cluster can run."""
    return {**spec, **random.choice([
        {"engine": {"image": NO_IMAGE}},
        {"model": {"image": {"reference": "m:1"}}, "engine": {"image": NO_IMAGE}},
        {"scheduling": {"nodeSelector": NO_NODE}},
        {"scheduling": {"priorityClassName": "no-such-class"}},
        {"scheduling": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}},
        {"resources": {"requests": {"memory": HUGE_MEMORY}}},
        {"accelerator": {"resource": "amd.com/gpu"}},
    ])}  # fmt: skip


class Transitions(RuleBasedStateMachine):
    """One resource that is changed again and again, and for each spec another one that is created with it."""

    run: Run

    def __init__(self):
        super().__init__()
        number = next(self.run.numbers)
        self.path, self.afresh = f"generated-{number}-path", f"generated-{number}-afresh"
        self.fresh_names = (f"fresh-{count}" for count in itertools.count(1))
        self.spec = self.good = None
        self.steps = 0
        if self.run.transitions < self.run.least:
            for name in (self.path, self.afresh):
                self.run.api.create("namespaces", "", {"metadata": {"name": name}})

    def teardown(self):
        for name in (self.path, self.afresh):
            self.run.api.delete("namespaces", "", name)

    @initialize()
    def create(self):
        self.go_to(SMALLEST)

    @rule(number=NUMBERS)
    def change_one_property(self, number):
        self.go_to(change_one(self.spec or SMALLEST, self.random(number)))

    @rule(number=NUMBERS)
    def change_another_property(self, number):
        self.go_to(change_one(self.spec or SMALLEST, self.random(number)))

    @rule(number=NUMBERS)
    def spoil(self, number):
        self.go_to(spoil(self.spec or SMALLEST, self.random(number)))

    @rule(number=NUMBERS)
    def replace_everything(self, number):
        self.go_to(tame(generate(self.random(number))))

    @rule(replicas=st.integers(0, MOST_REPLICAS))
    @precondition(lambda self: "autoscaling" not in (self.spec or {}))
    def scale(self, replicas):
        self.go_to({**(self.spec or SMALLEST), "replicas": replicas})

    def random(self, number):
        """One choice of hypothesis decides a whole spec: a chain is not shrunk, that would take hours."""
        self.steps += 1
        return Random(f"{self.run.seed} {self.steps} {number}")

    def go_to(self, spec):
        """Change to a spec and compare; from a bad state go back to the last good one."""
        if self.run.transitions >= self.run.least:
            return  # enough: what hypothesis still wants to try costs nothing
        outcome = self.move(spec)
        if outcome is None or outcome.bad is False:
            self.good = spec if outcome else self.good
            return
        self.run.bad += 1
        if self.good is not None and (back := self.move(self.good)) is not None:
            assert not back.bad, f"the last good spec does not restore: {back.shape['status']}"
            self.run.restored += 1

    def move(self, spec):
        """Apply a spec, and the same afresh; what both came to must be the same. None when it was refused."""
        if not self.apply(spec):
            self.run.refused += 1
            return None
        self.spec = spec
        self.run.transitions += 1
        if spec.get("paused"):
            return None  # what runs is what ran before, and afresh nothing does
        fresh = next(self.fresh_names)
        self.run.api.create("llminferences", self.afresh, {**make_body(fresh), "spec": spec})
        self.wait_for_rest(self.path, NAME)
        self.wait_for_rest(self.afresh, fresh)

        def same():
            one = read_outcome(self.run.api, self.path, NAME)
            other = read_outcome(self.run.api, self.afresh, fresh)
            found = differences(one.comparable_with(other), other.shape)
            assert not found, "\n".join([f"{SEED}={self.run.seed}", json.dumps(spec), *found])
            return one

        outcome = eventually(same, seconds=SECONDS)
        self.run.api.delete("llminferences", self.afresh, fresh)
        return outcome

    def apply(self, spec):
        api = self.run.api
        known = api.get("llminferences", self.path, NAME)
        body = {**(known or make_body(NAME)), "spec": spec}
        place = f"/apis/llminference.dev/v1alpha1/namespaces/{self.path}/llminferences"
        status, answer = api.ask("PUT", f"{place}/{NAME}", body) if known else api.ask("POST", place, body)
        if status == 409:
            return self.apply(spec)
        assert status in {200, 201, 422}, answer
        return status != 422

    def wait_for_rest(self, namespace, name):
        seen = []
        eventually(
            lambda: is_at_rest(self.run.api, namespace, name, seen), f"{namespace}/{name} rests", seconds=SECONDS
        )


def walk(api, least):
    """Walk chains of transitions until there were so many."""
    run = Run(api, least)
    machine = type("Transitions", (Transitions,), {"run": run})
    chosen = settings(
        max_examples=least, stateful_step_count=STEPS, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)
    assert run.transitions >= least
    print(f"{run.transitions} transitions, {run.bad} bad states, {run.restored} restored, {run.refused} refused")


# The limit of a function would come before that of one of its parameters.
@pytest.mark.parametrize(
    "least",
    [
        pytest.param(100, marks=pytest.mark.timeout(900)),
        pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
def test_a_changed_resource_ends_like_a_new_one(api, operator, least):
    walk(api, least)

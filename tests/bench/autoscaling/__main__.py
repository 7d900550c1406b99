"""How a cascade of GPU engines does under several autoscalers: a simulation, the same for the same seeds.

    python -m bench.autoscaling [--seeds 3] [--write docs/benchmarks.md]

It needs no cluster and no GPU; what it assumes stands in `workload.py` and in the section that it writes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.autoscaling.policies import POLICIES, WHOLE, Policy
from bench.autoscaling.report import Busy, Runs, section
from bench.autoscaling.simulation import Outcome, Simulation
from bench.autoscaling.workload import CHAIN, OFFICE, ROOMY, TIGHT, AgentModel, Traffic, packed, queries, with_none
from bench.document import write_section

COMMAND = "PYTHONPATH=tests .venv/bin/python -m bench.autoscaling --write docs/benchmarks.md"


def simulated(chain: Sequence[AgentModel], policy: Policy, traffic: Traffic, seed: int) -> Outcome:
    """One run."""
    asked = queries(traffic, tuple(chain), seed)
    return Simulation(chain, policy, asked, seed).run(traffic.seconds)


def main() -> None:
    """Simulate and print; with --write also record."""
    parser = argparse.ArgumentParser(prog="bench.autoscaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="runs of each autoscaler (default: 3)")
    parser.add_argument("--write", type=Path, help="Markdown file whose section is replaced")
    options = parser.parse_args()
    seeds = range(1, options.seeds + 1)
    began = time.perf_counter()
    busy = [
        Busy(
            traffic, chain, {each.name: [simulated(chain, each, traffic, seed) for seed in seeds] for each in POLICIES}
        )
        for traffic, chain in ((ROOMY, CHAIN), (TIGHT, packed(CHAIN)))
    ]
    chains = {"always has a pod": CHAIN, "may have none": with_none(CHAIN)}
    cold: Runs = {name: [simulated(chain, WHOLE, OFFICE, seed) for seed in seeds] for name, chain in chains.items()}
    print(f"simulated in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    text = section(busy, OFFICE, cold, COMMAND)
    print(text)
    if options.write:
        write_section(options.write, "autoscaling", text)


if __name__ == "__main__":
    main()

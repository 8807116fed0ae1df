"""Kills of the real methods, on random tiny priors."""

import random
from collections.abc import Callable

from benchmarks.campaign.kills import Numbers, kills_survived, reference
from benchmarks.campaign.project import FakeProject
from benchmarks.campaign.state import Campaign
from tests.whole_flows import settings_of, words, write_inputs

METHOD = "kill -9 of a real method at a random instant"
METHOD_RUNS = "runs of the nine methods that were killed at random instants"
KILLS_OF_A_METHOD = 2


def real_methods(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Kill each method of the five papers, on random tiny priors, at random instants, and what goes on too."""
    given = project.base / "given"
    if not given.exists():
        given.mkdir()
        write_inputs(given)
    before, lines, good = project.line, words(given), {}
    for number in numbers():
        for method, line in lines.items():
            key = f"{method} {number}"
            if not is_time():
                break
            if campaign.done(METHOD_RUNS, key):
                continue
            project.trying([method, *line, "--preset", "paper", "--device", "cpu", *settings_of(method)])
            if method not in good:
                good[method] = reference(project)
            results, seconds = good[method]
            rng = random.Random(f"{method} {number}")
            said, wrong = kills_survived(project, results, seconds, rng, KILLS_OF_A_METHOD)
            campaign.add(METHOD_RUNS, key, wrong)
            for place, name in enumerate(said):
                campaign.add(METHOD, f"{method}, {name} {number}.{place}", wrong)
    project.line = before

"""What starts next: nothing waits for what can only start when it itself is over."""

from manyeyes.agent.rollouts.admission import Admission
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.open_group import OpenGroup

from .worlds import request


def group(number: int, size: int, priority: int) -> OpenGroup:
    return OpenGroup(request(number, None, size, priority=priority), None, 0.0)


def started(admission: Admission) -> list[str]:
    return [one.request.id for one, _ in admission.starting(0.0)]


def test_a_group_that_has_begun_is_not_held_up_by_a_more_important_one_that_may_not_begin() -> None:
    admission = Admission(RolloutConfig(batch=1, max_staleness=0, most_running=2))
    begun, urgent = group(0, 4, 5), group(1, 4, 0)
    admission.push(begun)
    assert started(admission) == ["0", "0"]
    admission.push(urgent)
    for _ in range(2):
        admission.ended(naturally=True)
    assert started(admission) == ["0", "0"]  # the gate lets the urgent one begin when this one is over
    admission.closed(begun, accepted=False)
    for _ in range(2):
        admission.ended(naturally=True)
    assert started(admission) == ["1", "1"] and admission.queued == 2


def test_among_groups_that_have_begun_the_more_important_one_goes_on_first() -> None:
    admission = Admission(RolloutConfig(batch=2, max_staleness=0, most_running=2))
    later, sooner = group(0, 3, 5), group(1, 3, 0)
    admission.push(later)
    assert started(admission) == ["0", "0"]
    admission.push(sooner)
    admission.ended(naturally=True)
    assert started(admission) == ["1"]
    admission.push(group(2, 3, -1))
    for _ in range(2):
        admission.ended(naturally=True)
    assert started(admission) == ["1", "1"]
    admission.ended(naturally=True)
    assert started(admission) == ["0"]

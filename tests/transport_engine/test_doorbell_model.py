"""The doorbell's order of steps, checked over every interleaving on a machine with store buffers.

A store becomes visible to the other side some time later, in program order (as on x86, TSO); a
fence waits until all of its own are. The ringer publishes a number of records, ringing after each;
the sleeper arms, checks, and sleeps or takes what is there. A wake-up is lost where nobody can take
a step, the sleeper sleeps, and there is something to take.

Source: docs/channel.md §4; the model of P. Sewell et al., "x86-TSO", 2010.
"""

from dataclasses import dataclass, replace

import pytest

RECORDS = 3


@dataclass(frozen=True, slots=True)
class Design:
    """The steps that a doorbell may leave out, or do in another order."""

    ringer_fence: bool = True
    sleeper_fence: bool = True
    check_after_arm: bool = True
    clear_when_awake: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """Memory, both store buffers, both programs."""

    tail: int = 0
    armed: int = 0
    bytes_in_socket: int = 0
    ringer_step: str = "publish"
    ringer_published: int = 0
    ringer_buffer: tuple[int, ...] = ()  # of stores to tail
    sleeper_step: str = "arm"
    sleeper_taken: int = 0
    sleeper_buffer: tuple[int, ...] = ()  # of stores to armed


def ringer(state: State, design: Design) -> list[State]:
    """The steps that the ringer can take next."""
    match state.ringer_step:
        case "publish" if state.ringer_published < RECORDS:
            published = state.ringer_published + 1
            buffer = (*state.ringer_buffer, published)
            return [
                replace(
                    state,
                    ringer_published=published,
                    ringer_buffer=buffer,
                    ringer_step="fence" if design.ringer_fence else "look",
                )
            ]
        case "fence" if not state.ringer_buffer:
            return [replace(state, ringer_step="look")]
        case "look":
            return [replace(state, ringer_step="exchange" if state.armed else "publish")]
        case "exchange" if not state.ringer_buffer:  # a locked instruction drains the buffer
            was_armed = state.armed
            sent = state.bytes_in_socket + (1 if was_armed else 0)
            return [replace(state, armed=0, bytes_in_socket=sent, ringer_step="publish")]
        case _:
            return []


def sleeper(state: State, design: Design) -> list[State]:
    """The steps that the sleeper can take next."""
    match state.sleeper_step:
        case "arm":
            after = "fence" if design.sleeper_fence else "check"
            if not design.check_after_arm:
                after = "sleep"
            buffer = (*state.sleeper_buffer, 1)
            return [replace(state, sleeper_buffer=buffer, sleeper_step=after)]
        case "fence" if not state.sleeper_buffer:
            return [replace(state, sleeper_step="check")]
        case "check":
            if state.tail == state.sleeper_taken:
                return [replace(state, sleeper_step="sleep")]
            buffer = (*state.sleeper_buffer, 0) if design.clear_when_awake else state.sleeper_buffer
            return [replace(state, sleeper_buffer=buffer, sleeper_step="take")]
        case "sleep" if state.bytes_in_socket > 0:
            buffer = (*state.sleeper_buffer, 0) if design.clear_when_awake else state.sleeper_buffer
            return [replace(state, bytes_in_socket=0, sleeper_buffer=buffer, sleeper_step="take")]
        case "take":
            after = "arm" if design.check_after_arm else "check first"
            return [replace(state, sleeper_taken=state.tail, sleeper_step=after)]
        case "check first":
            step = "arm" if state.tail == state.sleeper_taken else "take"
            return [replace(state, sleeper_step=step)]
        case _:
            return []


def memory(state: State) -> list[State]:
    """The oldest store of either buffer becomes visible."""
    after: list[State] = []
    if state.ringer_buffer:
        first, *rest = state.ringer_buffer
        after.append(replace(state, tail=first, ringer_buffer=tuple(rest)))
    if state.sleeper_buffer:
        first, *rest = state.sleeper_buffer
        after.append(replace(state, armed=first, sleeper_buffer=tuple(rest)))
    return after


def lost_wake_ups(design: Design) -> tuple[int, int]:
    """Visits every reachable state; returns their number, and how many are stuck wrongly."""
    first = State(sleeper_step="arm" if design.check_after_arm else "check first")
    seen = {first}
    frontier = [first]
    lost = 0
    while frontier:
        state = frontier.pop()
        after = ringer(state, design) + sleeper(state, design) + memory(state)
        if not after and state.sleeper_taken < RECORDS:
            lost += 1
        fresh = [each for each in after if each not in seen]
        seen.update(fresh)
        frontier += fresh
    return len(seen), lost


def test_no_wake_up_is_lost() -> None:
    states, lost = lost_wake_ups(Design())
    assert lost == 0
    assert states > 500  # it did look


@pytest.mark.parametrize(
    "broken",
    [
        Design(ringer_fence=False),
        Design(sleeper_fence=False),
        Design(check_after_arm=False),
    ],
    ids=["no-fence-before-look", "no-fence-after-arm", "check-before-arm"],
)
def test_the_model_finds_what_each_step_is_for(broken: Design) -> None:
    _, lost = lost_wake_ups(broken)
    assert lost > 0


def test_a_side_that_stays_armed_costs_wakes_and_loses_none() -> None:
    _, lost = lost_wake_ups(Design(clear_when_awake=False))
    assert lost == 0

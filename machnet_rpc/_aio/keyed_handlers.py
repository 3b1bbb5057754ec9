"""Handlers of keyed methods: run once for each key, and answer all calls that carry it.

A call whose key runs waits for that reply; one whose key ended gets it at once. The handler goes on
when its caller's flow dies, since the caller comes back; it is stopped when nobody can want the
reply any more. What is remembered, and how far back, is the reply table's.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from idl import CodecError
from idl.raised import class_name, is_of, said, text_of
from machnet_rpc import _clock, _faults
from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._aio.limits import Limits
from machnet_rpc._binding import MethodBinding
from machnet_rpc._metadata import KEY, KEY_AGE, fresh_key
from machnet_rpc._options import KEY_CHARACTERS_MAX, Metadata
from machnet_rpc._protocol.calls import Executed, IncomingCall
from machnet_rpc._protocol.connection import NO_DEADLINE_NS, Connection
from machnet_rpc._protocol.events import Cause
from machnet_rpc._protocol.tally import end
from machnet_rpc._replies import Reply, ReplyStore, digest_of
from machnet_rpc._reply_table import Entry, ReplyTable
from machnet_rpc.errors import (
    Aborted,
    Cancelled,
    Code,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    RpcError,
    Unavailable,
)

AGE_DIGITS_MAX: Final = 15
LOOK_FIRST: Final = "Find out whether it was done before you call with another key."


class Sent(NamedTuple):
    """What a call says of its key; `age_ns` only where it may have been executed already.

    It is how old the first of the attempts is at most while this one is worth an answer.
    """

    key: str
    age_ns: int | None


class Ended(NamedTuple):
    """What a call is answered with; the key is new again if the reply is not `kept`."""

    reply: Reply
    is_kept: bool


def sent_by(call: IncomingCall) -> Sent:
    """What its metadata say. A call without a key is sent once: it gets one that nobody knows."""
    metadata: Metadata = call.metadata or {}
    key, age = metadata.get(KEY), metadata.get(KEY_AGE)
    if key is None:
        return Sent(fresh_key(), None)
    ages = isinstance(age, str) and age.isdecimal() and len(age) <= AGE_DIGITS_MAX
    age_ns = int(age) * 1_000_000 if isinstance(age, str) and ages else None
    return Sent(key if isinstance(key, str) else "", age_ns)


class KeyedHandlers:
    """The keyed calls of one server, by whatever link they came. Thread: the event loop's."""

    def __init__(self, table: ReplyTable, store: ReplyStore | None, waiting_max: int) -> None:
        """`waiting_max` is of the calls that wait, those that run for themselves included."""
        self._table = table
        self._store = store
        self._waiting_max = waiting_max
        self._places: dict[IncomingCall, Entry] = {}  # of calls that wait for a reply

    def __repr__(self) -> str:
        return f"<KeyedHandlers {self._table!r} waiting={len(self._places)}>"

    def running(self) -> list[HandlerTask]:
        """The handlers that have not ended."""
        return [entry.task for entry in self._table.running() if entry.task is not None]

    def known(self, call: IncomingCall, sent: Sent, payload: bytes) -> bool:
        """Answers a call, or lets it wait, if its key is known; refuses one that cannot be right.

        False: it has to be executed. The call's binding is set.
        """
        if not 0 < len(sent.key) <= KEY_CHARACTERS_MAX:
            _refuse(call, InvalidArgument(f"a key has 1 to {KEY_CHARACTERS_MAX} characters"))
            return True
        now_ns = _clock.monotonic_ns()
        entry = self._table.find(_name(call, sent), now_ns)
        if entry is None:
            return self._is_forgotten(call, sent, now_ns)
        if entry.digest != digest_of(payload):
            _refuse(call, _other_arguments())
        elif entry.reply is not None:
            _answer(call, entry.reply)
        elif len(self._places) >= self._waiting_max:
            busy = ResourceExhausted(f"{len(self._places)} keyed calls wait, which is the limit")
            busy.is_passing = True
            _refuse(call, busy)
        else:
            self._join(entry, call)
        return True

    def begin(
        self, call: IncomingCall, sent: Sent, payload: bytes, execution: "Execution"
    ) -> Coroutine[Any, Any, Ended]:
        """What executes a call that is new; its task is to be made `entry.task`."""
        entry = self._table.begin(_name(call, sent), digest_of(payload))
        self._join(entry, call)
        execution.entry = entry
        return execution.run(self._store)

    def end(self, task: HandlerTask) -> None:
        """A handler ended: keeps the reply, and gives it to all who wait."""
        entry: Entry = task.keyed.entry
        if task.error is None:
            reply, is_kept = task.returned
        else:
            reply, is_kept = task.keyed.failure(task.error), self._store is None
        entry.task = None
        if is_kept:
            self._table.end(entry, reply, _clock.monotonic_ns())
        else:
            self._table.drop(entry)
        waiters, entry.waiters = entry.waiters, []
        for waiter in waiters:
            del self._places[waiter]
            _answer(waiter, reply)

    def leave(self, call: IncomingCall, cause: Cause) -> None:
        """A call wants no answer any more."""
        entry = self._places.pop(call, None)
        if entry is None:
            return
        entry.waiters.remove(call)
        if cause is not Cause.FLOW_CLOSED:
            _stop_unwanted(entry, cause.value)
        elif call.deadline_ns != NO_DEADLINE_NS:  # it may come back until then
            seconds = _clock.seconds_until(call.deadline_ns)
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, _stop_unwanted, entry, Cause.DEADLINE.value)

    def _is_forgotten(self, call: IncomingCall, sent: Sent, now_ns: int) -> bool:
        if self._store is not None or sent.age_ns is None:
            return False
        if now_ns - sent.age_ns > self._table.remembers_ns:
            return False
        seconds = (now_ns - self._table.remembers_ns) / 1e9
        forgotten = FailedPrecondition(
            f"the call was sent before, and the server remembers the last {seconds:.3f} s only, "
            "so it may have been executed",
            executed="maybe",
            next_step=f"{LOOK_FIRST} A ReplyStore, or higher Limits, let a server remember.",
        )
        _tell(call, forgotten)
        return True

    def _join(self, entry: Entry, call: IncomingCall) -> None:
        entry.waiters.append(call)
        self._places[call] = entry


def keyed_handlers(limits: Limits, store: ReplyStore | None) -> KeyedHandlers:
    """Those of a server that has run no call yet."""
    keep_ns = int(limits.keyed_seconds * 1e9)
    table = ReplyTable(
        limits.keyed_replies, limits.keyed_bytes, keep_ns, now_ns=_clock.monotonic_ns()
    )
    return KeyedHandlers(table, store, limits.handlers)


class Execution:
    """One call of a keyed handler, with all that stands between it and its reply."""

    def __init__(
        self,
        binding: MethodBinding,
        handler: Callable[[], Coroutine[Any, Any, Any]],
        reply_bytes_max: int,
    ) -> None:
        self.entry: Entry
        self.has_begun = False  # the handler itself, after what the store was asked
        self.on_begun: Callable[[], object] = _nobody_asked
        self.is_unwanted = False  # cancelled since nobody waited any more
        self._binding = binding
        self._handler = handler
        self._reply_bytes_max = reply_bytes_max

    @property
    def key(self) -> str:
        return self.entry.key

    def taken(self, result: object) -> bytes:
        """The reply, which the handler stores itself. Errors: RpcError if it cannot be sent."""
        reply = self.success(result).to_bytes()
        self.entry.is_taken = True
        return reply

    async def run(self, store: ReplyStore | None) -> Ended:
        """Executes the call, unless the store has its reply."""
        if store is not None:
            try:
                stored = await self._stored(store)
            except Exception as unread:  # noqa: BLE001 (whatever a store raises is answered)
                failure = Unavailable(f"the store of replies cannot be read: {said(unread)}")
                return self._unstarted(failure)
            if stored is not None:
                is_other = stored.digest != self.entry.digest
                return self._unstarted(_other_arguments()) if is_other else Ended(stored, True)
        outcome = await self._executed()
        try:
            if store is not None:
                return await self._kept(store, outcome)
            return Ended(self._reply(outcome), not is_of(outcome, Aborted))
        finally:
            del outcome  # its traceback holds this

    async def _executed(self) -> Reply | BaseException:
        self.has_begun = True
        self.on_begun()
        try:
            return self.success(await self._handler())
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 (whatever a handler raises is answered)
            return error

    def success(self, result: object) -> Reply:
        """The reply that says so. Errors: RpcError if it cannot be sent."""
        try:
            payload = bytes(self._binding.result.encode(result))
        except CodecError as error:
            raise Internal(f"the handler's result is wrong: {error}") from error
        if len(payload) > self._reply_bytes_max:
            raise ResourceExhausted(
                f"the result is {len(payload)} bytes, and at most {self._reply_bytes_max} can be "
                "sent",
                next_step="Ask for less at once, or raise Limits.reply_bytes.",
            )
        return Reply(0, payload, self.entry.digest)

    async def _kept(self, store: ReplyStore, outcome: Reply | BaseException) -> Ended:
        """Commits the reply, where the handler has not; the store's word counts."""
        try:
            if not is_of(outcome, Reply):
                stored = await self._stored(store)  # another server was quicker, perhaps
                if stored is not None:
                    return Ended(stored, True)
                if not self._is_final(outcome):
                    return Ended(self._reply(outcome), False)
                self.entry.is_taken = False  # whatever the handler stored was undone
            reply = self._reply(outcome)
            if not self.entry.is_taken:
                await store.commit(self.entry.key, reply.to_bytes())
        except Exception as unstored:  # noqa: BLE001 (whatever a store raises is answered)
            failure = Internal(
                f"the handler ended, and the store of replies does not work: {said(unstored)}",
                executed="maybe",
                next_step="Call again with the same key: the store knows whether it was done.",
            )
            return Ended(self._error(failure), False)
        return Ended(reply, True)

    def failure(self, error: BaseException) -> Reply:
        """The reply for what ended the task: it was cancelled, or the process ends.

        `run` lets a GeneratorExit pass, too: one that it was given, it has to. One that comes here
        is the handler's own, and an exception as any other.
        """
        if self.has_begun and is_of(error, GeneratorExit):
            return self._reply(error)
        is_known = self.has_begun and not self.is_unwanted
        return _cut_short(self.entry, error, "yes" if is_known else "maybe")

    def _reply(self, outcome: Reply | BaseException) -> Reply:
        if is_of(outcome, Reply):
            return outcome
        binding = self._binding
        status, payload = _faults.encode_raised(binding.full_name, binding.errors, outcome)
        return Reply(status, payload, self.entry.digest)

    def _is_final(self, error: BaseException) -> bool:
        """Whether it is an answer for good, rather than a transaction that came to nothing."""
        if is_of(error, Aborted):
            return False
        kind = type(error)
        return is_of(error, RpcError) or self._binding.errors.get(class_name(error)) is kind

    async def _stored(self, store: ReplyStore) -> Reply | None:
        found = await store.find(self.entry.key)
        return None if found is None else Reply.from_bytes(found)

    def _unstarted(self, failure: RpcError) -> Ended:
        failure.executed = "no"
        return Ended(self._error(failure), False)

    def _error(self, failure: RpcError) -> Reply:
        return Reply(failure.code, _faults.encode(failure), self.entry.digest)


def _nobody_asked() -> None:
    """Where the handler begins with its task."""


def _name(call: IncomingCall, sent: Sent) -> str:
    binding: MethodBinding = call.binding
    return f"{binding.full_name}:{sent.key}"


def _other_arguments() -> RpcError:
    return FailedPrecondition(
        "the key was used before with other arguments",
        next_step="Give each call a key of its own; the same key only for the same call again.",
    )


def _cut_short(entry: Entry, error: BaseException, executed: Executed) -> Reply:
    failure = Cancelled(
        f"the handler was cancelled before its end: {text_of(error)}".rstrip(": "),
        executed=executed,
        next_step=LOOK_FIRST,
    )
    return Reply(Code.CANCELLED, _faults.encode(failure), entry.digest)


def _stop_unwanted(entry: Entry, cause: str) -> None:
    if not entry.waiters and entry.task is not None:
        entry.task.keyed.is_unwanted = True
        entry.task.stop(f"nobody waits for the call any more: {cause}")


def _answer(call: IncomingCall, reply: Reply) -> None:
    connection: Connection = call.connection
    if reply.status == 0 and len(reply.payload) > connection.message_bytes_max:
        _tell(call, ResourceExhausted("the reply is too large for this caller", executed="yes"))
        return
    end(call, reply.status, _clock.monotonic_ns())
    if reply.status == 0:
        connection.reply(call, reply.payload)
    else:
        _faults.answer(call, reply.status, reply.payload)


def _refuse(call: IncomingCall, error: RpcError) -> None:
    error.executed = "no"
    _tell(call, error)


def _tell(call: IncomingCall, error: RpcError) -> None:
    end(call, error.code, _clock.monotonic_ns())
    _faults.answer(call, error.code, _faults.encode(error))

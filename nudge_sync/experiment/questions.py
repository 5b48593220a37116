"""What a ranking may have to ask the application, and how long it waits for an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from nudge_sync.connector import PointId

_MAX_THREADS = 8
"""Callbacks that run at once; while all hang, further rankings fall back at their deadlines."""


@dataclass(frozen=True, slots=True)
class AskAbout:
    """Which of these points exist and pass the application's filter?"""

    ids: list[PointId]


@dataclass(frozen=True, slots=True)
class SearchDeeper:
    """What are the first so many results of the same search?"""

    limit: int


Question: TypeAlias = AskAbout | SearchDeeper
Answer: TypeAlias = Iterable[Any] | None
"""Points or results; None where nobody can say."""
_Result = TypeVar("_Result")
Steps: TypeAlias = Generator[Question, Answer, _Result]
Callback: TypeAlias = Callable[[Any], Iterable[Any]]
AsyncCallback: TypeAlias = Callable[[Any], Awaitable[Iterable[Any]]]


class LateAnswer(Exception):
    """An answer did not come before the deadline; thrown into the steps."""


class Answerer:
    """Runs the callbacks of an application, in threads of its own so that none outlasts a deadline.

    A callback that hangs keeps its thread; the ranking goes on without it.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def run(
        self,
        steps: Steps[_Result],
        admits: Callback | None,
        more: Callback | None,
        deadline: float,
    ) -> _Result:
        """Return what the steps return, with each of their questions answered.

        deadline: seconds from now; the steps are told by LateAnswer.
        """
        end = time.monotonic() + deadline
        try:
            question = next(steps)
            while True:
                callback, argument = _select(question, admits, more)
                if callback is None:
                    question = steps.send(None)
                    continue
                try:
                    answer = self._call(callback, argument, end - time.monotonic())
                except Exception as error:  # noqa: BLE001 - the steps know what to show instead
                    question = steps.throw(error)
                else:
                    question = steps.send(answer)
        except StopIteration as stop:
            result: _Result = stop.value
            return result

    async def run_async(
        self,
        steps: Steps[_Result],
        admits: AsyncCallback | None,
        more: AsyncCallback | None,
        deadline: float,
    ) -> _Result:
        """Return what the steps return; the callbacks are awaited, in the running event loop."""
        end = time.monotonic() + deadline
        try:
            question = next(steps)
            while True:
                callback, argument = _select(question, admits, more)
                if callback is None:
                    question = steps.send(None)
                    continue
                try:
                    async with asyncio.timeout(end - time.monotonic()):
                        answer = list(await callback(argument))
                except TimeoutError:
                    question = steps.throw(LateAnswer())
                except Exception as error:  # noqa: BLE001 - the steps know what to show instead
                    question = steps.throw(error)
                else:
                    question = steps.send(answer)
        except StopIteration as stop:
            result: _Result = stop.value
            return result

    def close(self) -> None:
        """Let the threads go, without waiting for callbacks that hang."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def reset(self) -> None:
        """Forget the threads, which a forked child does not have."""
        self._pool = None

    def _call(self, callback: Callback, argument: Any, seconds: float) -> list[Any]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_MAX_THREADS, "nudge-sync-answers")
        future = self._pool.submit(lambda: list(callback(argument)))
        try:
            return future.result(max(0.0, seconds))
        except TimeoutError:
            future.cancel()
            raise LateAnswer from None


def _select(question: Question, admits: Any, more: Any) -> tuple[Any, Any]:
    if isinstance(question, AskAbout):
        return admits, question.ids
    return more, question.limit

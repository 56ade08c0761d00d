"""Every error that Responder raises on purpose, as one tree with stable codes.

ResponderError            internal             exit 1
├── InputError            bad_input            exit 2   the caller can correct it
├── Refused               refused              exit 3   a gate said no
│   ├── NotApplicable     not_applicable       exit 3   this remedy is none for what the platform shows
│   ├── StateMoved        state_moved          exit 3   the target has changed since it was planned
│   └── UnsafeDeclaration unsafe_declaration   exit 3   the task is written in a way that weakens the guard
├── Stopped               stopped              exit 4   an emergency stop covers this
├── OutcomeUnknown        outcome_unknown      exit 5   nobody knows whether it worked
├── EffectFailed          effect_failed        exit 1   the platform refused or failed
├── LedgerUnavailable     ledger_unavailable   exit 1   no record can be made, so nothing may be done
└── Interrupted           interrupted          exit 130 a signal ended a command
"""

from __future__ import annotations

from typing import Any, ClassVar


class ResponderError(Exception):
    """Something went wrong; `message` says what, `cure` what to do, `details` the facts as plain values."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, cure: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.cure}".strip()


class InputError(ResponderError):
    """The input is wrong; nothing was written."""

    code = "bad_input"
    exit_code = 2


class Refused(ResponderError):
    """A gate refused the action; nothing was changed."""

    code = "refused"
    exit_code = 3


class NotApplicable(Refused):
    """A remedy would change nothing for the better, as the platform itself shows; a ladder goes on without it."""

    code = "not_applicable"


class StateMoved(Refused):
    """The world changed between plan and act, so the plan is void."""

    code = "state_moved"


class UnsafeDeclaration(Refused):
    """The task is declared so that a refusal could be ignored or the action repeated."""

    code = "unsafe_declaration"


class Stopped(ResponderError):
    """An emergency stop covers this action."""

    code = "stopped"
    exit_code = 4


class OutcomeUnknown(ResponderError):
    """The action ran and nobody can say what it did; its target is frozen."""

    code = "outcome_unknown"
    exit_code = 5


class EffectFailed(ResponderError):
    """The platform refused or failed."""

    code = "effect_failed"


class LedgerUnavailable(ResponderError):
    """The ledger cannot be read or written; without a record nothing is done."""

    code = "ledger_unavailable"


class InternalError(ResponderError):
    """A fault of Responder itself."""


class Interrupted(ResponderError):
    """A signal, as of Ctrl-C, ended a command that drives no run."""

    code = "interrupted"
    exit_code = 130

"""`python -m sre_responder.cli`: the command, for callers that know only the interpreter."""

from sre_responder.cli import main

main()

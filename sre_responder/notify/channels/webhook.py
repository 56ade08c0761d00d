"""An HTTP address of one's own that takes JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import jmespath
from pydantic import Field

from sre_responder.model.expression import Expression
from sre_responder.notify.channel import Channel
from sre_responder.notify.http import Url, post, revealed
from sre_responder.notify.message import Message, Rejected
from sre_responder.system.secret import Secret


class Webhook(Channel):
    """An HTTP address that takes the message as JSON by POST; redirects are not followed."""

    kind: Literal["webhook"]
    url: Url
    headers: Mapping[str, str | Secret] = Field(default_factory=dict, description="Sent with each message.")
    body: Expression | None = Field(
        None,
        description="JMESPath over the message that gives what is sent, such as {text: summary}; null sends it whole.",
    )
    timeout_s: float = Field(5.0, gt=0)

    def send(self, message: Message) -> str:
        body: Any = message.model_dump()
        if self.body is not None:
            try:
                body = jmespath.search(self.body, body)
            except jmespath.exceptions.JMESPathError as error:
                raise Rejected(f"the body of {self.name} cannot be made: {error}") from error
        headers = {name: revealed(value) for name, value in self.headers.items()}
        return post(revealed(self.url), body, who=self.name, timeout_s=self.timeout_s, headers=headers)

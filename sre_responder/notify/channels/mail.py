"""Mail, by an SMTP relay."""

from __future__ import annotations

import json
import smtplib
import ssl
from email.message import EmailMessage
from typing import Literal

from pydantic import Field, model_validator

from sre_responder.model.names import shown
from sre_responder.notify.channel import Channel
from sre_responder.notify.http import revealed
from sre_responder.notify.message import Message, Rejected, Unreachable
from sre_responder.system.secret import Secret


class Mail(Channel):
    """An SMTP relay; a password goes over TLS only."""

    kind: Literal["mail"]
    host: str
    port: int = 25
    tls: Literal["none", "starttls", "implicit"] = Field(
        "none", description="starttls is usual on port 587, implicit on 465."
    )
    username: str | None = None
    password: str | Secret | None = None
    sender: str
    recipients: tuple[str, ...] = Field(min_length=1)
    timeout_s: float = Field(5.0, gt=0)

    @model_validator(mode="after")
    def _safe(self) -> Mail:
        if (self.username is None) != (self.password is None):
            raise ValueError("a login needs both username and password")
        if self.username is not None and self.tls == "none":
            raise ValueError("a password needs tls: starttls or implicit")
        return self

    def send(self, message: Message) -> str:
        try:
            mail = self._written(message)
            with self._connected() as server:
                if self.tls == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.username is not None and self.password is not None:
                    server.login(self.username, revealed(self.password))
                server.send_message(mail)
            return f"{self.host} took it"
        except smtplib.SMTPResponseException as error:
            text = (
                error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            )
            problem = f"{self.name} answered {error.smtp_code} {shown(text, 200)}"
            raise (Rejected if error.smtp_code >= 500 else Unreachable)(problem) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise Rejected(f"{self.name} refused {', '.join(map(str, error.recipients))}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable(f"{self.name} cannot be reached: {type(error).__name__} {error}") from error
        except ValueError as error:
            raise Rejected(f"the mail of {self.name} cannot be written: {error}") from error

    def _connected(self) -> smtplib.SMTP:
        if self.tls == "implicit":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)

    def _written(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self.sender, ", ".join(self.recipients)
        mail["Subject"] = shown(f"[{message.incident or 'responder'}] {message.summary}", 120)
        mail.set_content(f"{message.text(2000)}\n\n{json.dumps(message.data, indent=2)}\n")
        return mail

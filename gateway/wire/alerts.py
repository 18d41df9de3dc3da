"""Alerts on their way to people: a signed post after Standard Webhooks, or a mail."""

import smtplib
import ssl
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from standardwebhooks import Webhook

from gateway.errors import NotSent
from gateway.settings import AlertSettings, MailSettings

from .target import Target
from .transport import exchange

DEADLINE = 15.0  # seconds; of a mail, for each step


def post(settings: AlertSettings, identifier: str, body: str) -> int:
    """Post *body*, JSON, to the webhook. Returns the HTTP status. Raises NotSent, MaybeSent.

    *identifier* stays the same when it is posted again; the time is that of the posting, as receivers check it.
    """
    assert settings.webhook is not None
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if settings.secret is not None:
        headers["webhook-signature"] = Webhook(settings.secret.get_secret_value()).sign(identifier, now, body)
    url = settings.webhook.get_secret_value()
    target = Target("alerts", url, deadline=DEADLINE, ca_file=settings.ca_file)
    return exchange(target, "POST", url, body.encode(), headers, time.monotonic() + DEADLINE).status


def mail(settings: AlertSettings, identifier: str, at: datetime, subject: str, text: str) -> None:
    """Give a mail to the mail server. Its Message-ID is made of *identifier*. Raises NotSent."""
    box = settings.mail
    assert box is not None
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = box.sender, ", ".join(box.to), subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{identifier}@{box.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834
    message.set_content(text)
    trusted = ssl.create_default_context(cafile=settings.ca_file)
    try:
        with _connect(box, trusted) as server:
            if box.security == "starttls":
                server.starttls(context=trusted)
            if box.username is not None:
                server.login(box.username, box.password.get_secret_value() if box.password else "")
            server.send_message(message)
    except (smtplib.SMTPException, OSError):
        raise NotSent("mail_not_taken") from None


def _connect(box: MailSettings, trusted: ssl.SSLContext) -> smtplib.SMTP:
    if box.security == "tls":
        return smtplib.SMTP_SSL(box.host, box.port, timeout=DEADLINE, context=trusted)
    return smtplib.SMTP(box.host, box.port, timeout=DEADLINE)

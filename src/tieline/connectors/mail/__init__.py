"""Mail: messages to people over SMTP.

In: one notice. Out: one mail to one address, taken by a server that we know, under TLS.
Law: a mail that is sent again carries the same Message-ID; an address stands in no error and no log.
"""

from tieline.connectors.mail.connector import MANIFEST, MailConnector, build

__all__ = ["MANIFEST", "MailConnector", "build"]

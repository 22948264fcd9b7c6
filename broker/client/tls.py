"""What TLS refuses, in words: the server's certificate is not believed, or the server does not believe ours. Trying again does not help."""

from __future__ import annotations

import ssl

from nats.errors import Error

_ABOUT_OURS = ("certificate required", "certificate_required", "bad certificate", "bad_certificate", "unknown ca", "unknown_ca")
_EXPIRED = ("certificate expired", "certificate_expired", "expired_certificate", "certificate has expired")


class NoEncryption(Error):
    """Encryption is asked for, and the server has none."""

    def __str__(self) -> str:
        return "the server does not encrypt"


def untrusted(error: BaseException | None) -> str:
    """Why nobody should speak over this connection; "": the error is about something else."""
    if isinstance(error, NoEncryption):
        return "the server does not encrypt, and nothing was sent to it; start it with --tls-cert, or ask it without tls:// and --tls-…"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not believed ({error.verify_message})"
        return f"{why}; give the one that vouches for it by --tls-ca, and connect by a name that is in it"
    if isinstance(error, ssl.SSLError):
        said = str(error).lower()
        if any(words in said for words in _EXPIRED):
            return "it does not accept our certificate, which has expired; give another one by --tls-cert and --tls-key"
        if any(words in said for words in _ABOUT_OURS):
            return "it asks for a certificate that it can believe; give one by --tls-cert and --tls-key"
    return ""

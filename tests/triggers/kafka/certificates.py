"""Certificates for a test: an authority of its own, and one certificate that both ends use."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY_PASSWORD = "the-key's-own"


class Certificates:
    """Files in PEM. `ca`; `cert` and its `key`, which needs KEY_PASSWORD; `store`: certificate and key in the clear, as a broker reads them."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.cert, self.key, self.store = (folder / f"{name}.pem" for name in ("ca", "cert", "key", "store"))
        authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = _signed("authority", authority, "authority", authority, x509.BasicConstraints(ca=True, path_length=None))
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        leaf = _signed("authority", authority, "kafka", key, address)
        encrypted = serialization.BestAvailableEncryption(KEY_PASSWORD.encode())
        self.ca.write_bytes(root)
        self.cert.write_bytes(leaf)
        self.key.write_bytes(_pem(key, encrypted))
        self.store.write_bytes(_pem(key, serialization.NoEncryption()) + leaf + root)


def _signed(issuer: str, signer: Any, subject: str, key: Any, extension: x509.ExtensionType) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(_name(issuer))
        .subject_name(_name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _pem(key: Any, encryption: serialization.KeySerializationEncryption) -> bytes:
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))

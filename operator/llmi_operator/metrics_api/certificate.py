"""A serving certificate that lives as long as the process: nothing to store, nothing to steal from a Secret."""

import ssl
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=365)
EARLIER = timedelta(hours=1)
"""Clocks differ."""


@dataclass(frozen=True)
class Certificate:
    """A certificate that vouches for itself, and its key.

    Attributes:
        public: The certificate, as PEM: what the API server is to trust.
    """

    public: bytes
    private: bytes
    expires: datetime


def make_certificate(host: str, now: datetime) -> Certificate:
    """Make a key and a certificate for the name by which the API server calls a Service."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "llminference-metrics-adapter")])
    expires = now + LIFETIME
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(expires)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, unencrypted = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, unencrypted)
    return Certificate(made.public_bytes(pem), private, expires)


def make_context(certificate: Certificate, authority: str) -> ssl.SSLContext:
    """TLS with this certificate. Clients may come without one, as the kubelet does; one they show must be signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority)
    # Python reads a key from files only; this one is gone when it has been read.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "both.pem"
        path.touch(mode=0o600)
        path.write_bytes(certificate.private + certificate.public)
        context.load_cert_chain(path)
    return context

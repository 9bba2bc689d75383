"""Ed25519 signatures (RFC 8032) on seals, by the `cryptography` package (the extra `sign`).

Who has only the public key can verify and cannot forge. The private key is a PEM file (PKCS #8, not encrypted) on the
machines that write; the public key is a PEM file beside it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..forking import no_fork
from .chain import Sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Check = Callable[[bytes, str], bool]
"""Whether the signature (hex) of a message is the key's. Never raises."""

_OTHERS_MAY = 0o007
_PEM_END = b"-----END PUBLIC KEY-----"


def signer_of(file: Path) -> tuple[str, Sign]:
    """(the id of the public key, a function that signs). Raises SettingsError."""
    with no_fork:
        serialization = _cryptography()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    try:
        if os.stat(file).st_mode & _OTHERS_MAY:
            raise SettingsError([f"Everybody on this machine may use {file} (audit_sign_key): run `chmod o= {file}`."])
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise SettingsError([f"The key {file} (audit_sign_key) cannot be read: {error.strerror}."]) from error
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError([f"{file} (audit_sign_key) has no Ed25519 key. `shipper audit keygen FILE` makes one."])
    return _id_of(key.public_key()), lambda message: key.sign(message).hex()


def checks_of(files: Iterable[Path]) -> dict[str, Check]:
    """The public keys in the files, each by its id, in this order. Raises SettingsError."""
    checks: dict[str, Check] = {}
    for file in files:
        with no_fork:
            serialization = _cryptography()
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        try:
            parts = file.read_bytes().split(_PEM_END)[:-1]
            keys = [serialization.load_pem_public_key(part + _PEM_END) for part in parts]
        except OSError as error:
            raise SettingsError([f"The key {file} (audit_public_keys) cannot be read: {error.strerror}."]) from error
        except ValueError:
            keys = []
        if not keys or not all(isinstance(key, Ed25519PublicKey) for key in keys):
            raise SettingsError([f"{file} (audit_public_keys) has no Ed25519 public key."])
        checks |= {_id_of(key): _check_by(key) for key in keys if isinstance(key, Ed25519PublicKey)}
    return checks


def make_key(file: Path) -> tuple[str, Path]:
    """Write a new private key (mode 0600) and beside it the public one, FILE.pub. Returns (key id, that file).

    Raises SettingsError, OSError; an existing file is never overwritten.
    """
    serialization = _cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    beside = file.with_name(f"{file.name}.pub")
    for path, content, mode in ((file, private, 0o600), (beside, public, 0o644)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as out:
            out.write(content)
    return _id_of(key.public_key()), beside


def _check_by(key: Ed25519PublicKey) -> Check:
    def check(message: bytes, signature: str) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            key.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    return check


def _id_of(key: Ed25519PublicKey) -> str:
    """16 hex digits that identify a public key."""
    return hashlib.sha256(b"rq-shipper audit public key\0" + key.public_bytes_raw()).hexdigest()[:16]


def _cryptography() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise SettingsError(["Signatures need more: pip install 'rq-shipper[sign]'."]) from None
    return serialization

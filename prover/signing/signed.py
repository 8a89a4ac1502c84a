"""A signed operation with all that is known of it, made once at the edge and passed on whole."""

import msgspec

from prover.signing import operations, signatures
from prover.signing.recover import recover_fast
from prover.stf import constants, containers, encoding
from prover.stf import signatures as law
from prover.stf.words import word_at


class SignedOperation(msgspec.Struct, frozen=True):
    """An operation with one signer. operation: its bytes, as a chunk carries them; digest: the 32 bytes signed.

    signer: whom the signature recovers to, twenty zero bytes for nobody; None until somebody has looked.
    """

    message: containers.Order | containers.Request
    operation: bytes
    digest: bytes
    signer: bytes | None = None

    @property
    def row(self) -> bytes:
        """96 bytes: digest and compact signature, of which the signer is recovered."""
        return self.digest + self.operation[-64:]


def signed_order(order: containers.Order, digest: bytes, signature: bytes) -> SignedOperation:
    """An order with its digest and its compact signature."""
    return SignedOperation(order, operations.order_bytes(order, signature), digest)


def signed_request(tag: int, request: containers.Request, digest: bytes, signature: bytes) -> SignedOperation:
    """A request with its digest and its compact signature."""
    return SignedOperation(request, operations.request_bytes(tag, request, signature), digest)


def read(domain: bytes, operation: bytes) -> SignedOperation:
    """A whole operation with one signer, from its bytes."""
    tag = operation[0]
    message: containers.Order | containers.Request
    if tag == constants.ORDER:
        message = encoding.order(word_at(operation, 1), word_at(operation, 32))
    else:
        message = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
    return SignedOperation(message, operation, signatures.signed_digest(domain, operation))


def recovered(domain: bytes, operation: bytes) -> bytes:
    """Whom the signature of an operation with one signer recovers to; twenty zero bytes where it does not."""
    return signer_of(signatures.signed_digest(domain, operation), operation)


def signer_of(digest: bytes, operation: bytes) -> bytes:
    """Who signed a digest with the signature that an operation ends with; twenty zero bytes for nobody."""
    size = len(operation)
    return law.recover(digest, word_at(operation, size - 64), word_at(operation, size - 32), recover_fast)

"""Answers as bytes, in JSON or msgpack."""

import msgspec

from sequencer.schema.values import encode_value


def to_json(value: object) -> bytes:
    """The JSON text of any answer, helper types included."""
    return msgspec.json.encode(value, enc_hook=encode_value)


def to_msgpack(value: object) -> bytes:
    """The msgpack bytes of any answer: the same objects as in JSON."""
    return msgspec.msgpack.encode(value, enc_hook=encode_value)

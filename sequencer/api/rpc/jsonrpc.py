"""JSON-RPC 2.0 without I/O: bytes to typed calls, results to bytes, in JSON or msgpack."""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgpack  # type: ignore[import-untyped]  # it ships no types
import msgspec

from sequencer.api.rpc.errors import (
    ALL_ERRORS,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    ApiError,
    CallError,
)
from sequencer.api.rpc.limits import TokenBucket
from sequencer.api.rpc.values import to_json, to_msgpack
from sequencer.schema.values import decode_value, encode_value

MAX_DEPTH: Final = 32
MAX_ID_CHARACTERS: Final = 128
MAX_NAME_CHARACTERS: Final = 128
# A msgpack header reserves its whole array before the items come, so a short message could ask for much memory.
MAX_MSGPACK_ITEMS: Final = 1024

RequestId = str | int | None


class Codec(Protocol):
    """One of the two shapes in which the same objects travel."""

    content_type: str
    text: bool

    def decode(self, body: bytes) -> Any:
        """Plain objects; raises CallError (PARSE_ERROR) for every malformed input."""

    def encode(self, value: object) -> bytes: ...

    def join(self, items: Sequence[bytes]) -> bytes:
        """An array of already encoded values."""


def _malformed(detail: str) -> CallError:
    return CallError(PARSE_ERROR, detail)


def _check_shape(value: Any) -> None:
    """Bounds nesting and refuses floats that JSON cannot say; by levels, so that depth costs no recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise _malformed("A number is not finite.")
        if not below:
            return
        level = below
    raise _malformed(f"It is nested deeper than {MAX_DEPTH}.")


def _refuse_duplicates(pairs: list[tuple[Any, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _malformed("An object holds the same key twice.")


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise _malformed("An object holds the same key twice.")
    if not all(isinstance(key, str) for key in unique):
        raise _malformed("A key is not a string.")
    return unique


def _nothing(_: str) -> None:
    return None


class JsonCodec:
    """JSON text; msgspec reads it, a second pass of the standard scanner finds repeated keys."""

    content_type = "application/json"
    text = True

    def decode(self, body: bytes) -> Any:
        """Plain objects; raises CallError (PARSE_ERROR) for every malformed input."""
        try:
            value = msgspec.json.decode(body)
            json.loads(body, object_pairs_hook=_refuse_duplicates, parse_int=_nothing, parse_float=_nothing)
        except RecursionError:
            raise _malformed(f"It is nested deeper than {MAX_DEPTH}.") from None
        except UnicodeDecodeError:
            raise _malformed("It is not UTF-8.") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise _malformed(_sentence(error)) from None
        _check_shape(value)
        return value

    def encode(self, value: object) -> bytes:
        """JSON text."""
        return to_json(value)

    def join(self, items: Sequence[bytes]) -> bytes:
        """An array of already encoded values."""
        return b"[" + b",".join(items) + b"]"


class MsgpackCodec:
    """msgpack; read by the streaming Unpacker because only that one can bound what a header may claim."""

    content_type = "application/msgpack"
    text = False

    def decode(self, body: bytes) -> Any:
        """Plain objects; raises CallError (PARSE_ERROR) for every malformed input."""
        size = len(body)
        unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=False,
            object_pairs_hook=_unique,
            max_buffer_size=max(size, 1),
            max_str_len=size,
            max_bin_len=size,
            max_array_len=MAX_MSGPACK_ITEMS,
            max_map_len=MAX_MSGPACK_ITEMS,
            max_ext_len=0,
        )
        try:
            unpacker.feed(body)
            value = unpacker.unpack()
        except msgpack.OutOfData:
            raise _malformed("It is cut off.") from None
        except (msgpack.StackError, RecursionError):
            raise _malformed(f"It is nested deeper than {MAX_DEPTH}.") from None
        except UnicodeDecodeError:
            raise _malformed("It is not UTF-8.") from None
        except TypeError:
            raise _malformed("A key is not a string.") from None
        except (msgpack.UnpackException, ValueError, OverflowError) as error:
            raise _malformed(_sentence(error)) from None
        if unpacker.tell() != size:
            raise _malformed("More bytes follow the message.")
        _check_shape(value)
        return value

    def encode(self, value: object) -> bytes:
        """msgpack bytes."""
        return to_msgpack(value)

    def join(self, items: Sequence[bytes]) -> bytes:
        """An array of already encoded values."""
        header: bytes = msgpack.Packer().pack_array_header(len(items))
        return header + b"".join(items)


JSON: Final[Codec] = JsonCodec()
MSGPACK: Final[Codec] = MsgpackCodec()


def _sentence(error: Exception) -> str:
    """A library's complaint as one short printable sentence."""
    text = str(error).encode("utf-8", "replace").decode() or type(error).__name__
    text = "".join(character if character.isprintable() else "?" for character in text[:200])
    return text if text.endswith(".") else text + "."


class Request(msgspec.Struct, frozen=True):
    """One call as it came: its parameters are not typed yet. A notification gets no answer."""

    method: str
    params: dict[str, Any] | list[Any]
    id: RequestId
    is_notification: bool


class BadRequest(msgspec.Struct, frozen=True):
    """What stands in the place of a call that could not be read, with its id if that much was readable."""

    id: RequestId
    error: CallError


def read_request(value: Any) -> Request | BadRequest:
    """One element of a message as a call; total."""
    if not isinstance(value, dict):
        return BadRequest(None, CallError(INVALID_REQUEST, "A call is an object."))
    identifier = value.get("id")
    is_text = isinstance(identifier, str) and len(identifier) <= MAX_ID_CHARACTERS
    is_number = type(identifier) is int and -(2**63) <= identifier < 2**63
    if not (identifier is None or is_text or is_number):
        detail = f"id is a string of at most {MAX_ID_CHARACTERS} characters, a 64-bit integer or null."
        return BadRequest(None, CallError(INVALID_REQUEST, detail))
    if value.get("jsonrpc") != "2.0":
        return BadRequest(identifier, CallError(INVALID_REQUEST, 'jsonrpc is "2.0".'))
    method = value.get("method")
    if not isinstance(method, str):
        return BadRequest(identifier, CallError(INVALID_REQUEST, "method is a string."))
    params = value.get("params", {})
    if not isinstance(params, dict | list):
        return BadRequest(identifier, CallError(INVALID_REQUEST, "params is an object or an array."))
    return Request(method, params, identifier, "id" not in value)


def success(codec: Codec, identifier: RequestId, result: object) -> bytes:
    """The encoded answer; raises what the codec raises if the result cannot be written."""
    return codec.encode({"jsonrpc": "2.0", "id": identifier, "result": result})


def failure(codec: Codec, identifier: RequestId, error: CallError) -> bytes:
    """The encoded error answer."""
    return codec.encode({"jsonrpc": "2.0", "id": identifier, "error": error.body()})


class Push:
    """One message for many subscribers, encoded at most once a codec."""

    def __init__(self, as_json: bytes) -> None:
        self._as_json = as_json
        self._as_msgpack: bytes | None = None

    def encoded(self, codec: Codec) -> bytes:
        """The bytes of the one frame."""
        if codec.text:
            return self._as_json
        if self._as_msgpack is None:
            self._as_msgpack = to_msgpack(msgspec.json.decode(self._as_json))
        return self._as_msgpack


class Subscriber(Protocol):
    """The sending side of one WebSocket as the feeds see it."""

    def push(self, message: Push, codec: Codec) -> None:
        """Queues one message without waiting; a full queue closes the connection."""

    def overflow(self) -> None:
        """Closes the connection as too slow."""


class Session:
    """What one connection holds across its calls; `subscriber` is None where nothing can be pushed."""

    def __init__(self, bucket: TokenBucket, subscriber: Subscriber | None = None) -> None:
        self.bucket = bucket
        self.subscriber = subscriber
        self.leave_by_channel: dict[str, Callable[[], None]] = {}

    def close(self) -> None:
        """Leaves every channel."""
        for leave in list(self.leave_by_channel.values()):
            leave()


class Call:
    """The circumstances of one call, handed to its handler beside the parameters."""

    def __init__(self, session: Session, codec: Codec, release: Callable[[], None]) -> None:
        self.session = session
        self.codec = codec
        self.after_answer: list[Callable[[], None]] = []
        self._release = release

    def release(self) -> None:
        """Lets the connection's next call start: this one has its place in the venue's order and now only waits."""
        self._release()


ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)
Handler = Callable[[ParamsT, Call], Awaitable[object]]


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For methods that take nothing."""


class Method(msgspec.Struct, frozen=True):
    """One callable method and what its documentation says."""

    name: str
    handler: Callable[[Any, Call], Awaitable[object]]
    params: type[msgspec.Struct]
    result: Any
    description: str
    errors: tuple[ApiError, ...]

    def bind(self, params: dict[str, Any] | list[Any]) -> msgspec.Struct:
        """Parameters by name, or by position in the declared order, as the method's struct; raises CallError."""
        if isinstance(params, list):
            names = self.params.__struct_encode_fields__
            if len(params) > len(names):
                raise CallError(INVALID_PARAMS, f"It takes at most {len(names)} parameters, got {len(params)}.")
            params = dict(zip(names, params, strict=False))
        try:
            return msgspec.convert(params, self.params, dec_hook=decode_value)
        except msgspec.ValidationError as error:
            raise CallError(INVALID_PARAMS, _sentence(error)) from None


class Registry:
    """The methods of one node; filled before the server starts."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def add(
        self,
        name: str,
        handler: Handler[ParamsT],
        *,
        params: type[ParamsT],
        result: Any,
        description: str,
        errors: Sequence[ApiError] = (),
    ) -> None:
        """Registers `await handler(params, call) -> result`; a refusal is a CallError with one of `errors`."""
        assert name not in self._methods, f"{name} is registered twice"
        assert params.__struct_config__.forbid_unknown_fields, f"{name}: a misspelt parameter must not pass"
        assert all(error in ALL_ERRORS for error in errors), f"{name} gives an error that the table does not hold"
        self._methods[name] = Method(name, handler, params, result, description, tuple(errors))

    def find(self, name: str) -> Method:
        """The method; raises CallError (METHOD_NOT_FOUND)."""
        method = self._methods.get(name)
        if method is None:
            raise CallError(METHOD_NOT_FOUND, data={"method": name[:MAX_NAME_CHARACTERS]})
        return method

    @property
    def methods(self) -> Mapping[str, Method]:
        """By name, in the order of registration."""
        return self._methods


def to_plain(value: object) -> Any:
    """Dictionaries, lists and scalars, as the caller would read them from JSON."""
    return msgspec.to_builtins(value, enc_hook=encode_value)

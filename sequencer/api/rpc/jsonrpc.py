"""JSON-RPC 2.0 without I/O: bytes to typed calls, results to bytes, in JSON or msgpack."""

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol, TypeVar

import msgpack
import msgspec

from l1_bridge.recursion import recursion_bounded
from sequencer.api.rpc.errors import (
    ALL_ERRORS,
    BATCH_TOO_LARGE,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    TOO_LARGE,
    ApiError,
    CallError,
)
from sequencer.api.rpc.gate import Share
from sequencer.api.rpc.limits import MOST_PARAMS_BYTES, PARAMS_BYTES, TokenBucket
from sequencer.schema.values import decode_value, encode_value, guard_type
from sequencer.schema.writing import Writer, to_json, to_msgpack, writer

MAX_DEPTH: Final = 32
MAX_ID_CHARACTERS: Final = 128
MAX_NAME_CHARACTERS: Final = 128
# All of a call but its params: what is read before the method is known.
MAX_ENVELOPE_BYTES: Final = 4_096
# A msgpack header reserves its whole array before the items come, so a short message could ask for much memory.
MAX_MSGPACK_ITEMS: Final = 1024

# A msgpack value of one byte may be written in nine, so that the same objects are at most that much longer.
_LOOSE_MSGPACK: Final = 9

RequestId = str | int | None


class Decoder(Protocol):
    """Bytes as one type."""

    def decode(self, body: bytes) -> Any:
        """Raises what msgspec raises."""


class Codec(Protocol):
    """One of the two shapes in which the same objects travel."""

    content_type: str
    text: bool

    def decoder(self, kind: Any) -> Decoder:
        """For one type; bytes that are no such message raise msgspec.DecodeError."""

    def is_object(self, value: bytes) -> bool:
        """By its first byte; total."""

    def is_array(self, value: bytes) -> bool:
        """By its first byte; total."""

    def is_leaf(self, value: bytes) -> bool:
        """Whether a well-formed value is a string, an integer that is not too long, true, false or null."""

    def is_repeating(self, item: bytes, members: Mapping[str, msgspec.Raw]) -> bool:
        """Whether an object holds one of its own keys twice, given what msgspec read of it."""

    def refuse_repeats(self, body: bytes, read: object) -> None:
        """Raises CallError if a key stands twice anywhere, given what msgspec read: the last of each."""

    def join_object(self, members: Sequence[tuple[str, bytes]]) -> bytes:
        """An object of already encoded values."""

    def decode(self, body: bytes) -> Any:
        """Plain objects; raises CallError (PARSE_ERROR) for every malformed input."""

    def encode(self, value: object) -> bytes: ...

    def join(self, items: Sequence[bytes]) -> bytes:
        """An array of already encoded values."""


_TWICE: Final = "An object holds the same key twice."
_FIRST: Final = re.compile(rb"[ \t\r\n]*+([\[{])")
_JSON_LEAF: Final = re.compile(rb"-?[0-9]{1,39}|true|false|null")
_MAPS: Final = frozenset(bytes([code]) for code in (*range(0x80, 0x90), 0xDE, 0xDF))
_ARRAYS: Final = frozenset(bytes([code]) for code in (*range(0x90, 0xA0), 0xDC, 0xDD))
_FLOATS_AND_EXTENSIONS: Final = frozenset(bytes([code]) for code in (*range(0xC7, 0xCC), *range(0xD4, 0xD9)))
_NO_LEAVES: Final = _MAPS | _ARRAYS | _FLOATS_AND_EXTENSIONS


def _first(value: bytes) -> bytes:
    found = _FIRST.match(value)
    return found[1] if found else b""


def _malformed(detail: str) -> CallError:
    return CallError(PARSE_ERROR, detail)


def _decode(decoder: Decoder, body: bytes) -> Any:
    """The typed value; raises CallError (PARSE_ERROR), or msgspec.ValidationError where only the type does not fit."""
    try:
        with recursion_bounded():
            return decoder.decode(body)
    except RecursionError:
        raise _malformed(f"It is nested deeper than {MAX_DEPTH}.") from None
    except msgspec.ValidationError:
        raise
    except UnicodeDecodeError:
        raise _malformed("It is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise _malformed(_sentence(error)) from None


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
        raise _malformed(_TWICE)


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise _malformed(_TWICE)
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
            with recursion_bounded():
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

    def decoder(self, kind: Any) -> Decoder:
        """For one type; bytes that are no such message raise msgspec.DecodeError."""
        return msgspec.json.Decoder(kind, dec_hook=decode_value)

    def is_object(self, value: bytes) -> bool:
        """By its first byte; total."""
        return _first(value) == b"{"

    def is_array(self, value: bytes) -> bool:
        """By its first byte; total."""
        return _first(value) == b"["

    def is_leaf(self, value: bytes) -> bool:
        """Whether a well-formed value is a string, an integer that is not too long, true, false or null."""
        return value[:1] == b'"' or _JSON_LEAF.fullmatch(value) is not None

    def is_repeating(self, item: bytes, members: Mapping[str, msgspec.Raw]) -> bool:
        """Every key brings a colon of its own: one more than was read is a key read over."""
        read = sum(key.count(":") + bytes(value).count(b":") for key, value in members.items())
        return item.count(b":") != len(members) + read

    def refuse_repeats(self, body: bytes, read: object) -> None:
        """More colons than in all that was read means a key read over; else there is no more to scan than was read."""
        if body.count(b":") > to_json(read).count(b":"):
            raise _malformed(_TWICE)
        try:
            with recursion_bounded():
                json.loads(body, object_pairs_hook=_refuse_duplicates)
        except RecursionError:
            raise _malformed(f"It is nested deeper than {MAX_DEPTH}.") from None
        except UnicodeDecodeError:
            raise _malformed("It is not UTF-8.") from None
        except ValueError as error:
            raise _malformed(_sentence(error)) from None

    def encode(self, value: object) -> bytes:
        """JSON text."""
        return to_json(value)

    def join(self, items: Sequence[bytes]) -> bytes:
        """An array of already encoded values."""
        return b"[" + b",".join(items) + b"]"

    def join_object(self, members: Sequence[tuple[str, bytes]]) -> bytes:
        """An object of already encoded values."""
        return b"{" + b",".join(to_json(name) + b":" + value for name, value in members) + b"}"


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

    def decoder(self, kind: Any) -> Decoder:
        """For one type; bytes that are no such message raise msgspec.DecodeError."""
        # A header that claims much reserves nothing: a call was walked over whole before any list in it is built.
        return msgspec.msgpack.Decoder(kind, dec_hook=decode_value)

    def is_object(self, value: bytes) -> bool:
        """By its first byte; total."""
        return value[:1] in _MAPS

    def is_array(self, value: bytes) -> bool:
        """By its first byte; total."""
        return value[:1] in _ARRAYS

    def is_leaf(self, value: bytes) -> bool:
        """Whether a well-formed value is a string, an integer that is not too long, true, false or null."""
        return value[:1] not in _NO_LEAVES

    def is_repeating(self, item: bytes, members: Mapping[str, msgspec.Raw]) -> bool:
        """The header says how many keys came."""
        width = {0xDE: 2, 0xDF: 4}.get(item[0], 0)
        claimed = int.from_bytes(item[1 : 1 + width], "big") if width else item[0] & 0x0F
        return claimed != len(members)

    def refuse_repeats(self, body: bytes, read: object) -> None:
        """Far longer than all that was read means a key read over; else there is little more to scan than was read."""
        if len(body) > _LOOSE_MSGPACK * len(to_msgpack(read)):
            raise _malformed(_TWICE)
        self.decode(body)

    def encode(self, value: object) -> bytes:
        """msgpack bytes."""
        return to_msgpack(value)

    def join(self, items: Sequence[bytes]) -> bytes:
        """An array of already encoded values."""
        header: bytes = msgpack.Packer().pack_array_header(len(items))
        return header + b"".join(items)

    def join_object(self, members: Sequence[tuple[str, bytes]]) -> bytes:
        """An object of already encoded values."""
        header: bytes = msgpack.Packer().pack_map_header(len(members))
        return header + b"".join(to_msgpack(name) + value for name, value in members)


JSON: Final[Codec] = JsonCodec()
MSGPACK: Final[Codec] = MsgpackCodec()


def _sentence(error: Exception) -> str:
    """A library's complaint as one short printable sentence."""
    text = str(error).encode("utf-8", "replace").decode() or type(error).__name__
    text = "".join(character if character.isprintable() else "?" for character in text[:200])
    return text if text.endswith(".") else text + "."


class Request(msgspec.Struct, frozen=True):
    """One call as it came: its parameters are not read yet. A notification gets no answer."""

    method: str
    params: Any
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
    if not isinstance(params, dict | list | msgspec.Raw):
        return BadRequest(identifier, CallError(INVALID_REQUEST, "params is an object or an array."))
    return Request(method, params, identifier, "id" not in value)


_ABSENT: Final = msgspec.Raw()


class _Envelope(msgspec.Struct):
    """A call of which nothing is read: msgspec checks its syntax and builds no value."""

    jsonrpc: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    method: msgspec.Raw = _ABSENT
    params: msgspec.Raw = _ABSENT


_ENVELOPES: Final[dict[bool, Decoder]] = {codec.text: codec.decoder(_Envelope) for codec in (JSON, MSGPACK)}
_MEMBERS: Final[dict[bool, Decoder]] = {codec.text: codec.decoder(dict[str, msgspec.Raw]) for codec in (JSON, MSGPACK)}


@cache
def _batch_type(most: int) -> type[msgspec.Struct]:
    """An array whose reading ends at the first call too many; a list would be read whole before it is counted."""
    fields = [(f"call_{index}", msgspec.Raw, None) for index in range(most)]
    return msgspec.defstruct("Batch", fields, array_like=True, forbid_unknown_fields=True)


def split(codec: Codec, body: bytes, most: int) -> list[bytes] | None:
    """The calls of a batch, unread, or None if it is none; raises CallError."""
    if not codec.is_array(body):
        return None
    try:
        batch = _decode(codec.decoder(_batch_type(most)), body)
    except msgspec.ValidationError:
        raise CallError(BATCH_TOO_LARGE, data={"most": most}) from None
    calls = [bytes(call) for call in msgspec.structs.astuple(batch) if call is not None]
    if not calls:
        raise CallError(INVALID_REQUEST, "The batch is empty.")
    return calls


def read_call(codec: Codec, body: bytes) -> Request | BadRequest:
    """One call with its params unread; total. Invariant: values are made of at most MAX_ENVELOPE_BYTES."""
    try:
        return read_request(_members(codec, body))
    except CallError as error:
        return BadRequest(None, error)


def _members(codec: Codec, body: bytes) -> dict[str, Any]:
    """The members that a call knows: leaves as plain values, objects and arrays as their bytes."""
    if not codec.is_object(body):
        if not codec.is_array(body):
            codec.decode(body)
        raise CallError(INVALID_REQUEST, "A call is an object.")
    try:
        envelope = _decode(_ENVELOPES[codec.text], body)
        given = {name: raw for name, raw in msgspec.structs.asdict(envelope).items() if raw is not _ABSENT}
        params = bytes(envelope.params)
        is_container = codec.is_object(params) or codec.is_array(params)
        if len(body) - (len(params) if is_container else 0) > MAX_ENVELOPE_BYTES:
            raise _too_large("envelope_bytes", MAX_ENVELOPE_BYTES)
        # What no method takes will be refused as it is; a member that is unknown looks like a repeated one at first.
        is_odd = len(params) <= MOST_PARAMS_BYTES and codec.is_repeating(body, given)
        if is_odd and codec.is_repeating(body, _decode(_MEMBERS[codec.text], body)):
            raise _malformed(_TWICE)
    except msgspec.ValidationError:
        raise _malformed("A key is not a string.") from None
    if not is_container and "params" in given:
        given["params"] = None
    leaves = [name for name, raw in given.items() if raw is not None and codec.is_leaf(bytes(raw))]
    values = codec.decode(codec.join([bytes(given[name]) for name in leaves]))
    return {"params": msgspec.Raw(codec.encode({})), **given, **dict(zip(leaves, values, strict=True))}


def _too_large(limit: str, most: int, **data: object) -> CallError:
    return CallError(TOO_LARGE, data={"limit": limit, "most": most, **data})


def success(codec: Codec, identifier: RequestId, result: object) -> bytes:
    """The encoded answer; raises what the codec raises if the result cannot be written."""
    return codec.encode({"jsonrpc": "2.0", "id": identifier, "result": result})


def failure(codec: Codec, identifier: RequestId, error: CallError) -> bytes:
    """The encoded error answer."""
    return codec.encode({"jsonrpc": "2.0", "id": identifier, "error": error.body()})


class Push:
    """One message for many subscribers, encoded at most once a codec.

    is_whole: it says all that there is, so that a later one of its kind may go out in its place.
    """

    def __init__(self, as_json: bytes, *, is_whole: bool = False) -> None:
        self.is_whole = is_whole
        self._as_json = as_json
        self._as_msgpack: bytes | None = None
        self._frames: dict[Codec, bytes] = {}

    def encoded(self, codec: Codec) -> bytes:
        """The bytes of the one frame."""
        if codec.text:
            return self._as_json
        if self._as_msgpack is None:
            self._as_msgpack = to_msgpack(msgspec.json.decode(self._as_json))
        return self._as_msgpack

    def framed(self, codec: Codec, frame: Callable[[bytes, Codec], bytes]) -> bytes:
        """As it goes out: a server masks nothing, and here nothing is compressed, so that one frame is everybody's."""
        if codec not in self._frames:
            self._frames[codec] = frame(self.encoded(codec), codec)
        return self._frames[codec]


class Subscriber(Protocol):
    """The sending side of one WebSocket as the feeds see it."""

    def push(self, message: Push, codec: Codec, place: object) -> None:
        """Queues one message without waiting; a full queue closes the connection.

        place: of the subscription, in which a whole message that has not gone out gives way to the next one.
        """

    def overflow(self) -> None:
        """Closes the connection as too slow."""

    def expel(self) -> None:
        """Closes the connection: it may not be told any more what it follows."""


class Session:
    """What one connection holds across its calls; `subscriber` is None where nothing can be pushed.

    address: the tokens of all connections from where this one is.
    """

    def __init__(
        self, bucket: TokenBucket, subscriber: Subscriber | None = None, address: TokenBucket | None = None
    ) -> None:
        self.bucket = bucket
        self.address = address
        self.share = Share()
        self.subscriber = subscriber
        self.leave_by_channel: dict[str, Callable[[], None]] = {}
        # Accounts of which a key was shown here, each with its address; and what is to be signed, until when.
        self.shown: dict[int, bytes] = {}
        self.challenge = b""
        self.challenge_ends_ms = 0
        # What is done once the connection has ended, whoever ended it, but where the node itself stops.
        self.at_end: Callable[[], None] | None = None

    def leave(self, channel: str) -> bool:
        """Leaves one channel; False where it was not followed, or is left already."""
        leave = self.leave_by_channel.get(channel)
        if leave is not None:
            leave()
        return leave is not None

    def owe(self, tokens: int) -> None:
        """Charges what was done in vain, whether there are the tokens or not; a new connection is rid of nothing."""
        self.bucket.owe(tokens)
        if self.address is not None:
            self.address.owe(tokens)
        self.share.tag += tokens

    def close(self, *, is_stopping: bool = False) -> None:
        """Leaves every channel, and does what was to be done at the end, unless the node stops."""
        for leave in list(self.leave_by_channel.values()):
            leave()
        at_end, self.at_end = self.at_end, None
        if at_end is not None and not is_stopping:
            at_end()


class Call:
    """The circumstances of one call, handed to its handler beside the parameters."""

    def __init__(
        self,
        session: Session,
        codec: Codec,
        release: Callable[[], None],
        step_aside: Callable[[], None],
    ) -> None:
        self.session = session
        self.codec = codec
        self.after_answer: list[Callable[[], None]] = []
        self._release = release
        self._step_aside = step_aside

    def step_aside(self) -> None:
        """Gives the node's turn back: this call waits for somebody outside and costs nothing meanwhile."""
        self._step_aside()

    def release(self) -> None:
        """Lets the connection's next call start: this one has its place in the venue's order and now only waits."""
        self._release()


ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)
Handler = Callable[[ParamsT, Call], Awaitable[object]]


class _ParamsReader:
    """The params of one method in one codec, straight into its own type."""

    def __init__(self, codec: Codec, params: type[msgspec.Struct]) -> None:
        self._codec = codec
        self._names = params.__struct_encode_fields__
        positions = [(name, msgspec.Raw, None) for name in self._names]
        self._positions = codec.decoder(
            msgspec.defstruct("Positions", positions, array_like=True, forbid_unknown_fields=True)
        )
        guard = guard_type(params, codec.is_leaf)
        self._guard = None if guard is params else codec.decoder(guard)
        self._decoder = codec.decoder(params)

    def read(self, params: bytes) -> msgspec.Struct:
        """Raises CallError (PARSE_ERROR) or msgspec.ValidationError."""
        if self._codec.is_array(params):
            given = msgspec.structs.astuple(_decode(self._positions, params))
            named = zip(self._names, given, strict=True)
            params = self._codec.join_object([(name, bytes(value)) for name, value in named if value is not None])
        read: msgspec.Struct = _decode(self._guard or self._decoder, params)
        self._codec.refuse_repeats(params, read)
        return read if self._guard is None else _decode(self._decoder, params)


@cache
def _params_reader(text: bool, params: type[msgspec.Struct]) -> _ParamsReader:
    return _ParamsReader(JSON if text else MSGPACK, params)


def weightless(params: object) -> int:
    """Of a method whose params cost no more than any call does."""
    return 1


class Method(msgspec.Struct, frozen=True):
    """One callable method and what its documentation says; `readers` by whether the codec is text.

    write: a result as it travels; weigh: the tokens that its params cost, one or more.
    """

    name: str
    handler: Callable[[Any, Call], Awaitable[object]]
    params: type[msgspec.Struct]
    result: Any
    description: str
    errors: tuple[ApiError, ...]
    params_bytes: int
    readers: dict[bool, _ParamsReader]
    write: Writer
    weigh: Callable[[Any], int]

    def bind(self, codec: Codec, params: bytes) -> msgspec.Struct:
        """Parameters by name, or by position in the declared order, as the method's struct; raises CallError."""
        if len(params) > self.params_bytes:
            raise _too_large("params_bytes", self.params_bytes, method=self.name)
        try:
            return self.readers[codec.text].read(params)
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
        params_bytes: int = PARAMS_BYTES,
        weigh: Callable[[Any], int] = weightless,
    ) -> None:
        """Registers `await handler(params, call) -> result`; a refusal is a CallError with one of `errors`.

        Params of more than `params_bytes` as they travel are refused unread.
        """
        assert name not in self._methods, f"{name} is registered twice"
        assert params.__struct_config__.forbid_unknown_fields, f"{name}: a misspelt parameter must not pass"
        assert params_bytes <= MOST_PARAMS_BYTES, f"{name} takes more than any method may"
        assert all(error in ALL_ERRORS for error in errors), f"{name} gives an error that the table does not hold"
        readers = {text: _params_reader(text, params) for text in (True, False)}
        self._methods[name] = Method(
            name, handler, params, result, description, tuple(errors), params_bytes, readers, writer(result), weigh
        )

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

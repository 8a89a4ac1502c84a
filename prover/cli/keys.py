"""The key that pays on L1: a keystore and its password, or a well-known key of a devnet."""

from pathlib import Path
from typing import Final

import click

from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID, Signer, development_key
from prover.cli.running import EXIT_USAGE, CommandFailed

_MAX_PASSWORD_BYTES: Final = 4_096


class PasswordUnreadable(Exception):
    """A password file cannot be read, or its first line holds none; one sentence."""


def read_password(path: Path) -> str:
    """The first line of a UTF-8 file, without its line feed or carriage return and line feed; nothing else ends it."""
    try:
        with path.open("rb") as file:
            password = file.read(_MAX_PASSWORD_BYTES).decode().split("\n")[0].removesuffix("\r")
    except OSError as error:
        raise PasswordUnreadable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PasswordUnreadable(f"the password file {path} is not text") from None
    if not password:
        raise PasswordUnreadable(f"the first line of the password file {path} is empty")
    return password


def asked_password(keystore: Path, password_file: Path | None) -> str:
    """A keystore's password, from its file or from the terminal; CommandFailed where there is none."""
    if password_file is None:
        password: str = click.prompt(f"Password of {keystore.name}", hide_input=True, err=True)
        return password
    try:
        return read_password(password_file)
    except PasswordUnreadable as error:
        raise CommandFailed(f"{_capitalised(str(error))}.", EXIT_USAGE) from None


def load_signer(chain_id: int, keystore: Path | None, password_file: Path | None, development: int) -> Signer:
    """The key that pays on L1; CommandFailed where none is given and the chain is no devnet."""
    if keystore is None:
        if chain_id != DEVELOPMENT_CHAIN_ID:
            raise CommandFailed(f"Chain {chain_id} is not a devnet: --keystore is required.", EXIT_USAGE)
        return development_key(development)
    try:
        content = keystore.read_text()
    except OSError as error:
        raise CommandFailed(f"{keystore} cannot be read: {error.strerror}.", EXIT_USAGE) from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{keystore} is no keystore: it is not text.", EXIT_USAGE) from None
    password = asked_password(keystore, password_file)
    try:
        return Signer.from_keystore(content, password)
    except ValueError as error:
        raise CommandFailed(f"{_capitalised(str(error))}.", EXIT_USAGE) from None


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]

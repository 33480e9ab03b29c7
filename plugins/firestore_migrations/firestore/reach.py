"""Whether a database can be reached, found out in seconds: the engine itself waits patiently, as servers restart."""

# ruff: noqa: TID253 -- only the engine loads this module, never a DAG file

from __future__ import annotations

import grpc

from firestore_migrations.errors import ConfigurationError, Unavailable
from firestore_migrations.firestore.connection import Address, Reader

_SECONDS = 5.0


def refuse_unreachable(address: Address, seconds: float = _SECONDS) -> None:
    """Take up a connection, and let it go. Asks nothing of the database.

    Raises:
        ConfigurationError: there are no credentials, or Google does not take them.
        Unavailable: nothing that speaks gRPC answers.
    """
    if not address.emulator_host:
        _refuse_useless_credentials(address)
    host = address.emulator_host or "Google's Firestore"
    with Reader(address) as reader:
        try:
            grpc.channel_ready_future(reader.channel).result(seconds)
        except grpc.FutureTimeoutError:
            raise Unavailable(
                f"{host} did not answer within {seconds:g} seconds; it was asked for {address.name}.",
                "Check the connection's emulator_host and that the emulator runs, or the way to Google; then repeat.",
                host=host,
            ) from None


def _refuse_useless_credentials(address: Address) -> None:
    """Get the token that the first request would need: inside gRPC, its failure looks like a dead server."""
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request

    credentials = None if address.credentials is None else address.credentials()
    if credentials is None or credentials.valid:
        return
    try:
        credentials.refresh(Request())
    except TransportError as error:
        raise Unavailable(
            f"The server that gives tokens for {address.name} did not answer.",
            "Check the network and the credentials' token_uri, then repeat it.",
        ) from error
    except (GoogleAuthError, ValueError) as error:
        raise ConfigurationError(
            f"Google does not take the credentials for {address.name}: {type(error).__name__}.",
            "Check the connection's key and impersonation_chain, and that the account is not disabled.",
        ) from error

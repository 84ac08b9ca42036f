"""Which tokens a program takes, and which one it shows: the one place where issuers plug in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from services.common.auth import Authenticator, Kind, NamedTokens, Principal, SignedTokens, Signer, TokenSource
from services.common.config import Config
from services.common.errors import Unavailable
from services.common.secretfiles import Secrets, read_key
from services.common.tokenfiles import FileText
from services.common.variables import configuration


def authenticator(
    config: Config, tokens: Mapping[str, str], signer: Signer, issuers: Sequence[TokenSource]
) -> Authenticator:
    """Return who tells callers apart.

    Where services show ServiceAccount tokens, a signed token stands for no service: of all tokens, whoever got hold of
    the signing key could make those of trainers alone. They could also sign weights, by the key that follows from it.

    Args:
        tokens: user tokens: name → token.
        issuers: further places that tokens come from; asked last, for they may ask others.
    """
    trainers: tuple[Kind, ...] = ("launch", "attempt")
    kinds: tuple[Kind, ...] = trainers if config.service_accounts else ("service", *trainers)
    return Authenticator([NamedTokens(tokens), SignedTokens(signer, kinds), *issuers])


def own_key(config: Config, secrets: Secrets) -> bytes:
    """Return the key that this program signs with.

    Raises:
        InvalidArgument: it cannot be read, or is too short (CONFIGURATION).
    """
    return read_key(config.signing_key_file) if config.signing_key_file else secrets.key("signing.key")


def own_token(config: Config, signer: Signer, service: str) -> Callable[[], str]:
    """Return what gives a service's own token for its calls to others.

    Raises:
        InvalidArgument: its file cannot be read, or is empty (CONFIGURATION).
    """
    path = config.service_token_file
    if path is None:
        signed = signer.sign(Principal(service, "service"))
        return lambda: signed
    file = FileText(path)
    try:
        empty = not file.read()
    except OSError as error:
        raise configuration(
            f"The token {path} cannot be read ({error.strerror}). Set FTF_SERVICE_TOKEN_FILE to a readable file."
        ) from None
    if empty:
        raise configuration(f"The token {path} is empty. Set FTF_SERVICE_TOKEN_FILE to a ServiceAccount token's file.")

    def read() -> str:
        try:
            return file.read()
        except OSError as error:
            raise Unavailable(
                f"This service's own token cannot be read ({error.strerror}). Look at FTF_SERVICE_TOKEN_FILE."
            ) from None

    return read

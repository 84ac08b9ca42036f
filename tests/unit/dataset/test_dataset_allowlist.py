"""Which URLs may be called."""

from __future__ import annotations

import pytest

from services.common.errors import InvalidArgument, NotReady
from services.dataset.allowlist import AllowList

LIST = AllowList(("https://api.x.com/v1", "http://ollama.llm.svc:11434", "https://[2001:db8::1]/"))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.x.com/v1",
        "https://api.x.com/v1/",
        "https://api.x.com/v1/deep/er",
        "https://API.X.com:443/v1",
        "https://api.x.com./v1",
        "http://ollama.llm.svc:11434",
        "http://ollama.llm.svc:11434/v1",
        "https://[2001:db8::1]/v1",
    ],
)
def test_a_url_at_or_below_one_of_the_list_is_allowed(url: str) -> None:
    """Case, the scheme's own port and a final dot of the host change nothing."""
    LIST.check(url)
    LIST.check_use(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.x.com.evil.org/v1",
        "https://api.x.com@evil.org/v1",
        "https://user:pw@api.x.com/v1",
        "https://evil.org/https://api.x.com/v1",
        "https://api.x.com/v10",
        "https://api.x.com/",
        "https://api.x.com",
        "http://api.x.com/v1",
        "https://api.x.com:8443/v1",
        "https://api.x.com/v1/../admin",
        "https://api.x.com/v1/%2e%2e/admin",
        "https://api.x.com/v1/%252e%252e/admin",
        "https://api.x.com/v1\\..\\admin",
        "https://api.x.com\\@evil.org/v1",
        "https://evil.org#https://api.x.com/v1",
        "http://ollama.llm.svc/v1",
        "http://ollama.llm.svc:114345/v1",
        "http://ollama:11434/v1",
        "ftp://api.x.com/v1",
        "https://xn--api-x.com/v1",
        "",
        "nothing",
    ],
)
def test_any_other_url_is_refused_with_the_list(url: str) -> None:
    """Another host, port, scheme or path; one that pretends; one that climbs."""
    with pytest.raises(InvalidArgument, match=r"begins with: https://api\.x\.com/v1, http") as caught:
        LIST.check(url)
    with pytest.raises(NotReady):
        LIST.check_use(url)

    assert caught.value.reason == "LLM_NOT_ALLOWED"


def test_without_a_list_all_are_allowed_and_with_an_empty_one_none() -> None:
    """One machine has no list; a cluster may allow nothing."""
    AllowList(None).check("http://127.0.0.1:11434/v1")
    with pytest.raises(InvalidArgument, match="none"):
        AllowList(()).check("http://127.0.0.1:11434/v1")

"""Personal data and secrets: found where they are, not where they are not, and masked whole."""

from __future__ import annotations

import pytest

from services.dataset.core.pii import KINDS, find, iban, luhn, mask

# A broken bar parts what would look like a real key to those who scan repositories; it is taken out.
TRUE = {
    "EMAIL": [
        "Write to jane.doe@example.com for help.",
        "mailto:o'brien+news@mail.example.co.uk",
        "Kontakt: büro@müller-söhne.de.",
        "<first_last@sub.domain.example.org>",
        "Ask A.B@EXAMPLE.COM, please.",
    ],
    "PHONE": [
        "Call +49 30 1234567 before noon.",
        "Our number is +1 (415) 555-2671.",
        "Telephone 030/901820, extension 4.",
        "tel: 0171 5551234",
        "Reach us at 415-555-2671.",
        "+33 1 42 68 53 00",
        "0044 20 7946 0958 is the London office.",
    ],
    "IBAN": [
        "IBAN DE89 3704 0044 0532 0130 00 at the bank.",
        "Pay to GB82WEST12345698765432.",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
    ],
    "CREDIT_CARD": [
        "Card 4111 1111 1111 1111 was charged.",
        "5555-5555-5555-4444",
        "Amex 3782 822463 10005.",
        "pan=6011111111111117",
    ],
    "IP_ADDRESS": [
        "The host is 192.168.17.4.",
        "Connect to 8.8.8.8:53 first.",
        "At 2001:db8::8a2e:370:7334 it answers.",
        "fe80::1ff:fe23:4567:890a%eth2",
    ],
    "US_SSN": ["His SSN is 536-90-4399.", "(078-05-1120)"],
    "PASSPORT": [
        "Passport no. C01X00T47 was shown.",
        "Reisepass Nr. C4F3LM9K2",
        "passport number: 533380006",
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
    ],
    "PRIVATE_KEY": [
        "-----BEGIN RSA PRIVATE |KEY-----\nMIIEpAIBAAKCAQEA7\n-----END RSA PRIVATE |KEY-----",
        "-----BEGIN OPENSSH PRIVATE |KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA",
        "-----BEGIN PRIVATE |KEY-----\nMIGHAgEAMBM\n-----END PRIVATE |KEY-----",
        "-----BEGIN PGP PRIVATE |KEY BLOCK-----\nlQVYBF\n-----END PGP PRIVATE |KEY BLOCK-----",
    ],
    "JWT": ["token eyJhbGciOiJIUzI1NiJ9.|eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"],
    "AWS_KEY": [
        "AKIA|IOSFODNN7EXAMPLE is the id.",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfi|CYEXAMPLEKEY",
    ],
    "URL_CREDENTIALS": [
        "postgres://admin:s3cret@db.internal/prod",
        "https://user:pa55@example.com/path",
        "redis://default:hunter2@10.0.0.5:6379",
    ],
    "API_KEY": [
        "OPENAI_API_KEY=sk-|proj-abcdEFGH1234ijklMNOP5678",
        "sk-|ant-api03-Zx81kQpL0vN3mR7tYb2c",
        "sk_|live_4eC39HqLyjWDarjtT1zdp7dc",
        "ghp_|16C7e42F292c6912E7710c838347Ae178B4a",
        "glpat-|x9Yk2LmQ7vR4tNwB1cZs",
        "xoxb-|17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzzqgy",
        "AIza|SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
        "hf_|QWErtyUIOpasDFGhjklZXCvbnm12345678",
        "SG.|ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr6e",
        "https://hooks.slack.com/services/|T00000000/B00000000/XXXX8XXXXyXXXXzXXXXXXXXX",
    ],
    "SECRET": [
        "password: Tr0ub4dor&3",
        'api_key = "9f8b2c4e1d7a6f3b5c8e0a1d"',
        "The client secret is 7Qx~9vB2mK4pLw8ZrT1c.",
        "Das Passwort ist K7$mq9Lx!",
    ],
}
FALSE = [
    "The pump has 36 pages of instructions and weighs 4.5 kg.",
    "Version 10.4.2.1 of the firmware was released on 2024-05-17.",
    "Order 4111 1111 1111 1112 was shipped.",
    "Part number 1234-5678-9012-3456 fits all models.",
    "The serial number is 0000 0000 0000 0000.",
    "ISBN 978-3-16-148410-0 and ISBN 0-306-40615-2.",
    "Meet at 10:30, leave at 12:45:00 or at 1:2.",
    "IBAN DE00 1234 5678 9012 3456 78 is made up.",
    "The ratio is 1::2 and std::vector is a type; a::b::c too.",
    "user@localhost, @handle, a@b and price @ 5.00 each",
    "Add 127.0.0.1 and 0.0.0.0 with mask 255.255.255.0 to the list.",
    "Chapter 1.2.3.4 describes the valve.",
    "999.999.999.999 and 300.1.1.1 are no addresses.",
    "The case number is 000-12-3456, or 987-65-4321, or 666-12-1234.",
    "He has a passport and a visa for 30 days.",
    "The password is kept in the safe. Tell the token nothing.",
    "Your password must have at least 12 characters and a digit.",
    "password: ********, api_key: <your key>, token=${TOKEN}",
    "sk-learn-contributors-and-other-people-we-thank",
    "The secret is patience, and a key is a promise.",
    "https://example.com:8080/path@home and ftp://example.org/a:b@c",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "eyJust.eyJoking.abcdefghijklmnop",
    "The commit 3f786850e387550fdab836ed7e6dc881de23001b fixed it.",
    "UUID 123e4567-e89b-12d3-a456-426614174000 names the row.",
    "From 1985 to 1999, 250 000 units, at 1 000 000 crowns.",
    "Temperatures between -40 and +85 degrees are allowed.",
    "+1 for this, and +20 percent.",
    "Room 030-12 is on the third floor; 2024-2025 is the budget year.",
    "Scores were 100-200-3000 in the table.",
    "Press 0 300 times, then 00 12 34.",
    "Kestrel 40, 36 litres a minute, 230 V, 50 Hz, IP67.",
    "AKIA is a prefix, and ASIA is a continent.",
    "12345678901234567890 has twenty digits, 1234567890123456 sixteen.",
]


def bare(text: str) -> str:
    """Return a text of TRUE as it is meant."""
    return text.replace("|", "")


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in TRUE.items() for text in texts])
def test_what_is_there_is_found_and_masked(kind: str, text: str) -> None:
    """The kind is right, the mask takes all of it, and masking again changes nothing."""
    found = find(bare(text))
    masked = mask(bare(text), KINDS)

    assert [one.kind for one in found] == [kind]
    assert f"[{kind}]" in masked
    assert find(masked) == []
    assert mask(masked, KINDS) == masked


@pytest.mark.parametrize("text", FALSE)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    """Versions, part numbers, times, hashes, prefixes in prose: no find."""
    assert find(text) == []


def test_every_kind_is_tried() -> None:
    """No kind without an example above."""
    assert set(TRUE) == set(KINDS)


def test_only_the_kinds_that_are_named_are_masked() -> None:
    """The rest stays as it is, and so does everything around."""
    text = "Ask jane@example.com or +49 30 1234567, not the host 10.1.2.3."

    assert mask(text, {"EMAIL"}) == "Ask [EMAIL] or +49 30 1234567, not the host 10.1.2.3."
    assert mask(text, {"EMAIL", "PHONE"}) == "Ask [EMAIL] or [PHONE], not the host 10.1.2.3."
    assert mask(text, ()) == text


def test_one_digit_off_is_no_number() -> None:
    """The checks see every changed digit of a card and of an IBAN."""
    card, account = "4111111111111111", "DE89370400440532013000"
    changed = [card[:i] + str((int(card[i]) + 1) % 10) + card[i + 1 :] for i in range(len(card))]
    others = [account[:i] + str((int(account[i]) + 1) % 10) + account[i + 1 :] for i in range(2, len(account))]

    assert luhn(card)
    assert iban(account)
    assert not any(map(luhn, changed))
    assert not any(map(iban, others))


@pytest.mark.parametrize(
    "piece", ["a@", "1 ", "12-", "a.b.", "::", "DE89 ", "password ", "passport ", "eyJ", "+1", "://a:"]
)
def test_hostile_texts_come_to_an_end(piece: str) -> None:
    """No rule goes back and forth over a long text of its own beginnings."""
    found = find(piece * (20_000 // len(piece)))

    assert len(found) < 20_000

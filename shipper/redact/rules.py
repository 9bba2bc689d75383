"""The rules of redaction: which names are secret, and what a secret looks like within a text.

One table for all that writes records. The emitters and the import use it directly; the ingest pipeline and Logstash
get the same expressions (`python -m tests.redaction_samples` writes those of Logstash). So an expression uses only what
Python, Java and Ruby understand alike: ASCII classes, no `$`, no named groups, look-behinds of a fixed length, and no
long repetition of a group, for which Java needs stack. The time of a match is limited, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

REDACTED = "[redacted]"


class Rule(NamedTuple):
    """Something that is secret in a text.

    `pattern`: what is replaced by its group 1 and REDACTED. `hints`: each match begins with one of them, in lower case;
    none if it has to be searched for. `luhn`: only if the digits of the match pass Luhn's check (ISO/IEC 7812).
    """

    name: str
    pattern: str
    hints: tuple[str, ...] = ()
    luhn: bool = False


# --- Names: of arguments, keys, variables, headers, columns, options ---

_JOIN = "[ _.-]?"
_BLANK = "[ \t]*"

# Secret wherever they are in a name, and whatever the value is: user_password, PASSWD, x-api-key, apiKey.
ALWAYS = {
    "pass": rf"pass{_JOIN}(?:word|wd|phrase|code)",
    "pwd": r"pwd(?!=[/~])",  # PWD=/home/ann is a folder
    "secret": "secret",
    "api": rf"api{_JOIN}key",
    "priv": rf"private{_JOIN}key",
    "access": rf"access{_JOIN}key",
    "encr": rf"encryption{_JOIN}key",
    "sign": rf"sign(?:ing{_JOIN}key|ature)",
    "sess": rf"sess(?:ion)?{_JOIN}id(?!{_BLANK}[=:]{_BLANK}0x)",  # 0x…: a number, as ZooKeeper's
    "csrf": "csrf",
    "xsrf": "xsrf",
}
# The same, but the words stand in ordinary sentences, too: "Invalid token: unexpected end".
OPAQUE = {"token": "token", "cred": "cred(?:ential|s)", "author": "authori[sz]ation", "cookie": "cookie"}
# Secret only as a whole word of a name, at its end or before one of WORD_TAILS: auth, user_pin, cardNumber.
WORDS = ("auth", "session", "sid", "dsn", "pin", "otp", "totp", "iban", "card", "cvv", "cvc", "jwt", "symfony")
WORD_TAILS = "id|key|code|no|num|number|hash|data|header|value|string|cookie|info|2"
_GLUED = {"auth": "o?auth", "card": "(?:credit|debit)?card(?:no|num|number)?"}

# Addresses are personal data and not secrets: redacted by name, as sentry-python does, but not within texts.
ADDRESSES = (rf"x{_JOIN}forwarded{_JOIN}for", rf"x{_JOIN}real{_JOIN}ip", rf"ip{_JOIN}address", rf"remote{_JOIN}addr")


def _any_of(parts: Iterable[str]) -> str:
    return "(?i:" + "|".join(parts) + ")"


def _word(word: str) -> str:
    """The word between delimiters or humps: pin, user_pin, PIN-code, userPin, pinCode; not pinned, spin, Pinned."""
    there = f"{word[0].upper()}(?:{word[1:]}|{word[1:].upper()})"
    return rf"(?:(?<![A-Za-z0-9])(?i:{_GLUED.get(word, word)})|(?<=[a-z0-9]){there})(?![a-z])"


_WORDS = "(?:" + "|".join(map(_word, WORDS)) + rf")(?:[ _.-]?(?i:{WORD_TAILS})(?![a-z]))?"


def own_names(names: Iterable[str]) -> dict[str, str]:
    """Hint → expression of each name of the setting `redact`, which is a substring. `_`, `-` and `.` are optional."""
    found: dict[str, str] = {}
    for name in names:
        parts = [part for part in re.split(r"[ _.-]+", name.lower()) if part]
        if parts:
            found[parts[0]] = "|".join(filter(None, (found.get(parts[0]), _JOIN.join(map(re.escape, parts)))))
    return found


def secret_name(own: Iterable[str] = ()) -> re.Pattern[str]:
    """Searches for the secret part of a name."""
    parts = _any_of((*ALWAYS.values(), *OPAQUE.values(), *ADDRESSES, *own_names(own).values()))
    return re.compile(rf"{parts}|{_WORDS}(?![A-Za-z0-9]|[_.-][A-Za-z0-9])")


# --- Values. Group 1 is the name with what is between it and the value, group 2 the name, group 3 an escaped quote ---

_QUOTED = (
    r"[bBuUrR]{0,2}(?:"
    r"\"\"\"[\s\S]{0,4000}?\"\"\"|'''[\s\S]{0,4000}?'''"
    r"|\"[^\"\\\n]*(?:\\[^\n][^\"\\\n]*){0,400}\"|'[^'\\\n]*(?:\\[^\n][^'\\\n]*){0,400}'"
    r"|(\\{1,7}[\"'])[^\\\n]*(?:(?!\3)\\{1,15}[^\\\n][^\\\n]*){0,400}\3"  # JSON within JSON: \"…\"
    r"|\\{0,7}[\"'][^\n]*)"  # the text was cut within the value
)
_LISTED = (
    r"(?:\[redacted\]|\[(?![\"'][A-Z][a-z']* [a-z]+ )[^\[\]\n]*\]"  # but for ["This field is required."]
    r"|\([^()\n]+\)|\{(?![A-Za-z_])[^{}\n]*\})"
)
# Punctuation ends a bare value only where something else begins behind it.
_BARE = (
    r"[^ \t\r\n,;&'\"()\[\]{}<>\\][^ \t\r\n,;&'\")\]}<>\\]*"
    r"(?:(?:,(?![ \t\r\n'\"]|[A-Za-z0-9_.-]{1,64}[=:])|[;&](?=[^ \t\r\n])(?![A-Za-z0-9_.%\[\]-]{1,64}=)"
    r"|[)\]}>'\"](?=[A-Za-z0-9])|<(?![/A-Za-z!])|\\(?![\"'nrt\\]))[^ \t\r\n,;&'\")\]}<>\\]*){0,100}"
)
# Program code, as in the source lines of a traceback: password=password, token=self.token, secret: str,
# api_key=get_key(…), {token}, %(token)s, :token. And what is no value: None, true.
_CODE = (
    r"(?:[:@$%]?(?:[A-Za-z0-9_]{1,40}\.){0,4}(?:[A-Za-z0-9]{1,40}_){0,4}\2(?![A-Za-z0-9_])"
    r"|(?:self|cls|settings|config|conf|os|env|environ|request|args|kwargs|options|params|form|data|getpass|process)[.\[(]"
    r"|_?[A-Za-z][A-Za-z0-9]{0,40}[_.][A-Za-z0-9_.]{0,60}\(|(?:getattr|property|input|len|max|min|TypeVar|Field)\("
    r"|[A-Z][A-Za-z]{1,40}\([a-z_]{1,40}[\[.(,]"
    r"|(?:[a-z]{1,10}\.)?(?:Optional|Union|Annotated|[Ll]ist|[Dd]ict|Mapping|Sequence|Callable|Final|Literal|ClassVar)\["
    r"|[a-z_][a-z0-9_.]{0,60}\[(?:[\"']|[a-z0-9_:+-]{1,20}\])|(?:await|new|not|lambda) |%[(s]|\$[({]"
    r"|[A-Z][a-z]{1,20}[A-Za-z]{0,40}\{|[a-z]{2,20}(?:\.[A-Za-z]{1,40}){1,6}@[0-9a-f]{5,8}(?![A-Za-z0-9])"  # of Java
    r"|(?:None|null|NULL|nil|undefined|[Tt]rue|[Ff]alse|str|string|int|bytes|bool|float|dict|list|Any|Optional|SecretStr)"
    r"(?![A-Za-z0-9_]))"
)
_EMPTY = r"(?:\"\"(?!\")|''(?!'))"
_PLAIN_VALUE = rf"(?!{_EMPTY})(?:{_QUOTED}|{_LISTED}|{_BARE})"
_VALUE = rf"(?!{_EMPTY})(?:{_QUOTED}|{_LISTED}|(?!{_CODE}){_BARE})"

# --- What is between a name and its value ---

_AFTER = "[A-Za-z0-9_-]{0,40}"  # the rest of the name: password_hash, tokenValue
# Names that are about a secret and do not hold one.
_ABOUT = (
    r"(?:s?[_-]?(?i:count|type|name|file|path|length|len|size|expires?|expiry|expiration|ttl|limit|policy|manager|service"
    r"|provider|backend|class|field|form|view|error|exception|budget|usage)s?(?![A-Za-z0-9])"
    r"|s[\"']?[ \t]*[=:]{1,2}[ \t]*[0-9])"
)
_CLOSED = r"[\\\"'\])]{0,8}"  # 'token', \"token\", environ["TOKEN"], user[token], Key (token)
_EQUALS = rf"{_BLANK}(?:[!=]?={{1,2}}>?|:=|%3[Dd]){_BLANK}"
_COLON = rf"{_BLANK}(?::(?!:|//|(?:amd64|arm64|i386|all|any)[ ,)])|%3[Aa]){_BLANK}"  # passwd:amd64 is a package
_OTHER = (
    # {"name": "DB_PASSWORD", "value": "…"}, also as two lines of YAML
    rf"(?:\\{{0,7}}[\"']?{_BLANK}(?:,[ \t\r\n]*|\r?\n[ \t]*)\\{{0,7}}[\"']?(?i:value|val|content|data)\\{{0,7}}[\"']?"
    rf"{_BLANK}[=:]{_BLANK}"
    # or ("token", "…")
    rf"|\\{{0,7}}[\"']{_BLANK},{_BLANK}(?=b?\\{{0,7}}[\"'][^\"'\n]*[\"'][ \t]*[)\]])"
    # or <password>…</password>
    r"|(?:[ \t][^<>\n]{0,200})?>(?=[^<>\n]{1,4000}</))"
)
_ARTICLE = "(?:The|A|An|This|Your) [a-z]"
_SENTENCE = rf"(?:[a-z]{{1,20}},?[ \t]+[A-Za-z(]|{_ARTICLE})"
_BETWEEN = {
    "always": rf"(?:{_CLOSED}(?:{_EQUALS}|{_COLON}(?!{_ARTICLE}))|{_OTHER})",
    "opaque": rf"(?:{_CLOSED}(?:{_EQUALS}|(?<=[\"'\]]){_COLON}|{_COLON}(?!{_SENTENCE}))|{_OTHER})",
    "word": (
        # session=3 and dsn=2.0.0 are none, and neither are `session: opened` and `session: 42`.
        rf"(?:{_CLOSED}{_EQUALS}(?![0-9]{{1,2}}(?![A-Za-z0-9.])|[0-9]{{1,3}}(?:\.[0-9]{{1,4}}){{1,3}}(?![A-Za-z0-9]))"
        rf"|\\{{0,7}}[\"']\]?{_COLON}|{_COLON}(?=[\"']|[^ \t\r\n0-9]{{0,80}}[0-9][^ \t\r\n]{{3}})"
        rf"(?=[\"']|[^ \t\r\nA-Za-z]{{0,80}}[A-Za-z])"
        rf"|(?<=[Pp][Ii][Nn]|[Oo][Tt][Pp]|[Cc][Vv][VvCc]){_COLON}(?=[0-9]{{3,8}}(?![A-Za-z0-9_.:/-]))|{_OTHER})"
    ),
}


def _named(kind: str, names: str) -> str:
    return rf"(({names}){_BETWEEN[kind]}){_VALUE}"


# --- Headers as they are on the wire: the whole value ---

_PIECE = r"[^ \t\r\n=;,'\"]{1,200}"
_COOKIES = rf"{_PIECE}=[^\r\n;'\"]*(?:;[ \t]*{_PIECE}(?:=[^\r\n;'\"]*)?){{0,100}}"
_CREDENTIALS = (
    r"(?:(?i:digest|aws4-hmac-sha256|oauth|hawk|signature)[ \t][^\r\n'\"]*"
    r"|(?:(?i:bearer|basic|token|api-?key|negotiate|ntlm|key|jwt)[ \t]+"
    r"|[A-Z][A-Za-z-]{1,20}[ \t]+(?=[^ \t\r\n]*[0-9=]))"
    r"[^ \t\r\n,;'\")\]}]+)"
)

# --- What is secret by its shape ---

_PEM_LABEL = "(?:[A-Z0-9]+ ){0,4}(?:KEY|KEY BLOCK|CERTIFICATE|REQUEST|PARAMETERS|MESSAGE|PKCS7|CMS|CRL)"
_OF_URL = (
    r"(?![0-9]{1,5}(?:[/?#\s\"',)]|(?![\s\S])))"  # a port
    r"[^ \t\r\n'\"<>@]{1,200}(?:@[^ \t\r\n'\"<>@/?#]{1,200}){0,8}(?=@)"
)
_OF_VENDORS = {  # https://docs.github.com/en/code-security/secret-scanning, and the vendors' own documentation
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"): "gh[pousr]_[A-Za-z0-9]{20,}",
    ("github_pat_",): "github_pat_[A-Za-z0-9_]{20,}",
    ("glpat-",): "glpat-[A-Za-z0-9_-]{16,}",
    ("xox",): "xox[abeprs]-[A-Za-z0-9-]{10,}",
    ("sk_live_", "sk_test_", "rk_live_", "rk_test_"): "[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
    ("sk-",): "sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}",
    ("aiza",): "AIza[A-Za-z0-9_-]{30,}",
    ("sg.",): r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    ("npm_",): "npm_[A-Za-z0-9]{30,}",
    ("pypi-",): "pypi-[A-Za-z0-9_-]{30,}",
    ("hf_",): "hf_[A-Za-z0-9]{30,}",
    ("ya29.",): r"ya29\.[A-Za-z0-9_-]{20,}",
}
# 13 to 19 digits with an issuer's prefix (Visa, Mastercard, Amex, Discover, JCB, Diners, UnionPay, Maestro), in groups
# or not. Numbers in a row without groups only with the usual length of that issuer: ids and times are long, too.
_CARD = (
    r"()(?<![A-Za-z0-9_.+/=-])(?:"
    r"(?:4[0-9]{3}|5[1-8][0-9]{2}|2[2-7][0-9]{2}|6[0-9]{3}|35[0-9]{2}|50[0-9]{2})(?:[ -][0-9]{4}){3}(?:[ -][0-9]{3})?"
    r"|3[47][0-9]{2}[ -][0-9]{6}[ -][0-9]{5}|3[068][0-9]{2}[ -][0-9]{6}[ -][0-9]{4}"
    r"|4[0-9]{15}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|6(?:011|5[0-9]{2}|4[4-9][0-9]|2[0-9]{2})[0-9]{12}|35(?:2[89]|[3-8][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11})(?![A-Za-z0-9_/=-]|[.][0-9])"
)


def table(own: Iterable[str] = ()) -> tuple[Rule, ...]:
    """All rules, in the order in which they are applied. `own`: the names of the setting `redact`."""
    always = dict(ALWAYS)
    for hint, expression in own_names(own).items():
        always[hint] = f"{always[hint]}|{expression}" if hint in always else expression
    after = rf"(?!{_ABOUT}){_AFTER}"
    every_name = f"{_any_of((*always.values(), *OPAQUE.values()))}|{_WORDS}"
    return (
        Rule(
            "pem",
            rf"()-----BEGIN {_PEM_LABEL}-----(?:[\s\S]{{0,20000}}?-----END {_PEM_LABEL}-----|[\s\S]*)",
            ("-----begin ",),
        ),
        Rule("cookie", rf"((?i:cookie2?){_BLANK}[:=]{_BLANK}){_COOKIES}", ("cookie",)),
        Rule("authorization", rf"((?i:authori[sz]ation){_BLANK}[:=]{_BLANK}){_CREDENTIALS}", ("author",)),
        Rule("sql-parameters", r"(\[parameters: )(?:[^\n]*(?=\])|[^\n]+)", ("[parameters: ",)),
        Rule("sql-row", r"((?i:failing row contains) \()(?:[^\n]*(?=\))|[^\n]+)", ("failing row contains (",)),
        Rule(
            "sql-insert",
            rf"((?i:insert into) [^()\n]{{1,200}}\((?=[^()]{{0,1000}}?(?:{every_name}))[^()]{{1,2000}}\)"
            r"[ \t\r\n]{1,20}(?i:values)[ \t\r\n]{0,20}\()(?:[^\n;]*(?=\))|[^\n;]+)",
            ("insert into ",),
        ),
        Rule("sql-password", rf"((?i:identified by|password)[ \t]+){_alone(_QUOTED)}", ("identified by", "password")),
        Rule(
            "option",
            rf"((?<!-)--(?=[A-Za-z0-9_-]{{0,60}}?(?:{every_name})(?!{_ABOUT}))[A-Za-z0-9_-]{{1,100}}"
            rf"(?:[\"'],{_BLANK}|[ \t]+(?!-))){_alone(_PLAIN_VALUE)}",
            ("--",),
        ),
        Rule("named", _named("always", f"{_any_of(always.values())}{after}"), tuple(always)),
        Rule("named-opaque", _named("opaque", f"{_any_of(OPAQUE.values())}{after}"), tuple(OPAQUE)),
        Rule("named-word", _named("word", _WORDS), (*WORDS, "oauth", "credit", "debit")),
        Rule("query", r"([?&](?i:sig|key|code)=)[A-Za-z0-9%._~+/=-]{16,}", _QUERY_HINTS),
        Rule("url", rf"(://[^ \t\r\n/:@?#'\"<>\[]{{0,200}}:){_OF_URL}", ("://",)),
        Rule("url-user", r"(://)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}(?=@)", ("://",)),
        Rule("bearer", r"((?i:bearer) [ \t]*)(?=[A-Za-z._~+/=-]*[0-9])[A-Za-z0-9._~+/=-]{8,}", ("bearer ",)),
        Rule(
            "basic",
            r"((?i:basic) [ \t]*)(?=[A-Za-z+/]*(?:[0-9]|[a-z][A-Z]|=))(?:[A-Za-z0-9+/]{4}){2,400}"
            r"(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?(?![A-Za-z0-9+/=])",
            ("basic ",),
        ),
        Rule(
            "aws",
            r"()(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
            r"(?:[\s\S]{0,40}?(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?",
            ("akia", "asia"),
        ),
        Rule(
            "jwt",
            r"()(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){0,2}",
            ("eyj",),
        ),
        Rule(
            "vendor",
            "()(?<![A-Za-z0-9_-])(?:" + "|".join(_OF_VENDORS.values()) + ")",
            tuple(chain.from_iterable(_OF_VENDORS)),
        ),
        Rule("iban", r"((?i:iban)[^A-Za-z0-9\n]{1,6})[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]{1,4}){2,8}", ("iban",)),
        Rule("card", _CARD, luhn=True),
    )


_QUERY_HINTS = ("?sig=", "&sig=", "?key=", "&key=", "?code=", "&code=")


def _alone(expression: str) -> str:
    """The expression of a value with its back-references as there is only group 1 before it."""
    return expression.replace(r"\3", r"\2")

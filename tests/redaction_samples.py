"""The table of samples of redaction: what is secret in a text, and ordinary lines in which nothing is.

In SECRET, what must be replaced stands between « and ». Emitters, formatter, structlog processor, importer, ingest
pipeline and Logstash are all held to this table. `python -m tests.redaction_samples` writes the rules for Logstash.
"""

from __future__ import annotations

import re
from pathlib import Path

from shipper.redact import REDACTED
from shipper.redact.rules import table

ROOT = Path(__file__).parent.parent
RULES_OF_LOGSTASH = ROOT / "logstash/pipeline/15-redaction.conf"
ORDINARY = Path(__file__).parent / "redaction_ordinary.log.gz"

_PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75dBw0NCcJb7q3\nxyz==\n-----END RSA PRIVATE KEY-----"
_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

SECRET = (
    # URLs
    "could not connect to postgres://app:«hunter2»@db:5432/shop",
    "postgresql+psycopg2://app:«p/w@1»@db/shop is away",
    "redis://:«hunter2»@127.0.0.1:6379/0",
    "amqp://guest:«hunter2»@mq:5672//, https://ann:«x%40y»@search:9200/_bulk",
    "fatal: https://«ghp_abcdefghijklmnopqrstuvwxyz0123456789»@github.com/shop/shop.git",
    "GET /orders?api_key=«hunter2»&page=2 404",
    "https://maps.example/geo?key=«AbCdEfGh12345678xyz»&q=Ulm",
    "https://s3.example/a?X-Amz-Credential=«AKIAIOSFODNN7EXAMPLE/20261126/eu/s3/aws4_request»&X-Amz-Signature=«ab12»",
    "redirect to /login?next=%2F&access_token%3D«hunter2»",
    # names with values
    "ValueError: token=«hunter2»",
    "login failed: user=ann password=«hunter2»",
    "Svc(password=«hunter2»)",
    "Svc(user='ann', password=«'hunter2 x'», retries=3)",
    "password = «'it\\'s hunter2'»",
    "PASSWORD: «hunter2»",
    "password=«a,b)c;d&e'f» and more",
    "Server=db;Uid=sa;Pwd=«hunter2»;Database=shop",
    "api key: «hunter2», private-key = «abc», accessKey=«x1», client_secret=«y2»",
    "auth=«hunter2» session=«h2» sessionid=«h3» csrf=«h4» pwd=«h5» dsn=«h6» jwt=«h7» access_key=«h8»",
    "pin=«4711», otp: «123456», cvv=«123», iban=«DE89370400440532013000»",
    "userPin=«4711» basicAuth=«hunter2» PHPSESSID=«abc» connect.sid=«s%3Aabc» _xsrf=«2|ab» symfony=«abc»",
    "os.environ['DB_PASSWORD'] = «'hunter2'», user[password]=«hunter2»",
    "token = «\"cut off in the middle",
    "password=«'''hunter2'''»",
    # mappings, pairs, JSON
    "{'email': 'a@b.c', 'password': «'hunter2'», 'age': 4}",
    "{b'password': «b'hunter2'»}",
    '{"auth": «"hunter2"», "session": «"abc"», "pin": «4711»}',
    '"api key": «"hunter2"»',
    "{'tokens': «['a1', 'b2']»}",
    'the body was "{\\"password\\": «\\"hunter2\\"», \\"age\\": 4}"',
    'twice: "{\\\\\\"token\\\\\\": «\\\\\\"hunter2\\\\\\"»}"',
    "[('Authorization', «'Bearer hunter2'»), ('Accept', '*/*')]",
    '[{"name": "DB_PASSWORD", "value": «"hunter2"»}]',
    "- name: DB_PASSWORD\n  value: «hunter2»",
    "<soap:password type='x'>«hunter2»</soap:password>",
    # headers
    "Authorization: «Bearer hunter2»",
    "authorization: «Basic YW5uOmh1bnRlcjI=»",
    "Proxy-Authorization: «Digest username=ann, response=6629fae49393»",
    "curl -H 'Authorization: «Bearer hunter2»' https://shop.example",
    "{'Authorization': «'Bearer hunter2'»}",
    "Cookie: «a=1; session=hunter2»",
    "Set-Cookie: «sid=hunter2; Path=/; HttpOnly»",
    "X-Api-Key: «hunter2»",
    "X-Auth-Token: «hunter2»",
    "sent bearer «abcdef0123456789» to the shop",
    "Basic «YW5uOmh1bnRlcjI=» was refused",
    # commands
    "mysql --password «hunter2» -h db",
    "mysql --password=«hunter2» -h db",
    "Command '['mysql', '--password', «'hunter2'», '-h', 'db']' returned non-zero exit status 1.",
    "deploy --api-key «hunter2» --region eu",
    # SQL
    "[SQL: UPDATE users SET name=%s, pw=%s]\n[parameters: «('ann', 'hunter2')»]\n(Background on this error)",
    "DETAIL:  Failing row contains («1, ann, hunter2, null»).",
    "DETAIL:  Key (api_token)=«(hunter2)» already exists.",
    "UPDATE users SET password = «'hunter2'» WHERE id = 4",
    "INSERT INTO users (name, password) VALUES («'ann', 'hunter2'»)",
    "CREATE USER ann IDENTIFIED BY «'hunter2'»",
    # by their shape
    f"cannot load «{_PEM}» here",
    "key «-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrY",
    f"invalid: «{_JWT}»",
    "«AKIAIOSFODNN7EXAMPLE» is unknown",
    "«AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
    "aws_secret_access_key = «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
    "«xoxb-123456789012-abcdefABCDEF» «glpat-abcdefghij0123456789» «sk_live_abcdefghij0123456789»",
    "card «4111 1111 1111 1111» was declined",
    "«4242424242424242», «5555-5555-5555-4444», «378282246310005», «3782 822463 10005»",
    "IBAN: «DE89 3704 0044 0532 0130 00»",
)  # fmt: skip

# In none of these is a secret.
HARMLESS = (
    "sudo: root : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls",
    "pam_unix(sshd:session): session opened for user root by (uid=0)",
    "Failed password for root from 10.0.0.1 port 22 ssh2",
    "Invalid token: unexpected end of input",
    "    return authenticate(request, username=username, password=password)",
    "    def __init__(self, token: str, password: Optional[str] = None):",
    "    client = Client(token=self.token, api_key=settings.API_KEY)",
    "    user = auth.authenticate(token=get_token(request))",
    '    raise ValueError(f"bad token={token}")',
    "KeyError: 'token'",
    "SyntaxError: Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
    "max_tokens=512 prompt_tokens: 300 tokens=5 token_type=bearer token_count: 7",
    "SELECT * FROM users WHERE password = %(password)s AND token = :token",
    "auth-service: started", "author: Ann", "pin: 3 connected", "session: opened", "discard=5 cardinality: 7",
    "no credentials: user not found",
    '{"password": ["This field is required."]}',
    "password=None token=null secret=''",
    "https://search:9200/_bulk?x=a@b.c", "http://[::1]:9200/", "PLAINTEXT://kafka:9092,SSL://kafka:9093",
    "at 1764122345678901 and 1764122345678901234, order 4242424242424241, blk_-1608999687919862906",
    "2026-11-20 10:00:00 default: shop.jobs.send_mail(42) (4f0c1d2e-0001-4a00-8000-000000000001)",
    "the basic JavaScript of the bearer authentication",
    "Token::Ident, secret://vault/path, -----BEGIN TEST RUN-----",
    "to=root, relay=[127.0.0.1] [127.0.0.1], dsn=2.0.0, stat=Sent",
)  # fmt: skip


def text_of(sample: str) -> str:
    """A sample without its marks."""
    return sample.replace("«", "").replace("»", "")


def expected_of(sample: str) -> str:
    """What must be written of it."""
    return re.sub("«[^»]*(?:»|$)", REDACTED, sample)


def in_a_string(pattern: str) -> str:
    """An expression as it stands in double quotes, where Logstash has no other escapes."""
    return re.sub(r'\\?"', lambda _: r"\x22", pattern)


def rules_of_logstash() -> str:
    """The content of RULES_OF_LOGSTASH. Without card numbers, whose digits an expression cannot check."""
    rules = [in_a_string(rule.pattern) for rule in table() if not rule.luhn]
    pairs = ",\n".join(f'      "message", "{rule}", "\\1{REDACTED}"' for rule in rules)
    return (
        "# Secrets, by the rules of shipper/redact/rules.py. Written by `python -m tests.redaction_samples`.\n\n"
        f'filter {{\n  mutate {{\n    id => "redaction"\n    gsub => [\n{pairs}\n    ]\n  }}\n}}\n'
    )


if __name__ == "__main__":
    RULES_OF_LOGSTASH.write_text(rules_of_logstash(), encoding="utf-8")

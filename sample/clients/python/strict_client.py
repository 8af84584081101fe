#!/usr/bin/python3
"""Acts as https://another.service/ in the `strict` profile: used once, bound to this one request."""

import argparse
import base64
import hashlib
import http.client
import json
import pathlib
import secrets
import sys
import time
import urllib.parse

import jwt  # PyJWT
from cryptography.hazmat.primitives.serialization import load_pem_private_key  # PyJWT needs it too

KEYS = pathlib.Path(__file__).parents[2] / ".keys"
USERS = "https://census.service/user/"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--herald", default="http://127.0.0.1:4102/", help="where Herald listens")
parser.add_argument("--key", default=KEYS / "another.private.pem", help="PKCS#8 PEM")
parser.add_argument("--user", default=USERS + "42/", help="whom to notify")
parser.add_argument("--subject", default=USERS + "21/", help="on whose behalf")
parser.add_argument("--grant", help="file: the grant of the subject, as it came in Txn-Token")
parser.add_argument("--change-body", action="store_true", help="change one byte after signing")
options = parser.parse_args()


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def thumbprint(public_key):
    """RFC 7638: SHA-256 of the required members in lexicographic order, without white space."""

    point = public_key.public_numbers()
    x, y = (base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
    jwk = json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
    return base64url(hashlib.sha256(jwk.encode()).digest())


key = load_pem_private_key(pathlib.Path(options.key).read_bytes(), password=None)
body = json.dumps({"user": options.user, "type": "welcome-message"}).encode()
now = int(time.time())
claims = {
    "iss": "https://another.service/",
    "aud": "https://herald.service/",
    "sub": options.subject,
    "iat": now,
    "exp": now + 60,
    "jti": secrets.token_urlsafe(24),
    "req": "POST /notification/",
    "hdr": {"content-type": "application/json"},
    "bdy": hashlib.sha256(body).hexdigest(),
}
headers = {"Content-Type": "application/json"}
if options.grant:
    headers["Txn-Token"] = pathlib.Path(options.grant).read_text().strip()
    claims["tth"] = base64url(hashlib.sha256(headers["Txn-Token"].encode()).digest())
header = {"typ": "svc+jwt", "kid": thumbprint(key.public_key())}
headers["JWT"] = jwt.encode(claims, key, algorithm="ES256", headers=header)

if options.change_body:
    body = body.replace(b"42", b"43")
herald = http.client.HTTPConnection(urllib.parse.urlsplit(options.herald).netloc, timeout=20)
herald.request("POST", "/notification/", body, headers)
answer = herald.getresponse()
print(answer.status, answer.getheader("Location") or answer.read().decode())
sys.exit(0 if answer.status == 201 else 1)

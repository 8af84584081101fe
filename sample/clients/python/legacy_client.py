#!/usr/bin/python3
"""Acts as https://legacy.service/ in the `original` profile: iss, aud, sub, bdy (MD5), nothing else."""

import argparse
import base64
import hashlib
import http.client
import json
import pathlib
import sys
import urllib.parse

import jwt  # PyJWT

KEYS = pathlib.Path(__file__).parents[2] / ".keys"
USERS = "https://census.service/user/"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--herald", default="http://127.0.0.1:4102/", help="where Herald listens")
parser.add_argument("--key", default=KEYS / "legacy.private.pem", help="PKCS#8 PEM")
parser.add_argument("--user", default=USERS + "42/", help="whom to notify")
parser.add_argument("--subject", default=USERS + "21/", help="on whose behalf")
parser.add_argument("--grant", help="file: the grant of the subject, as it came in Txn-Token")
parser.add_argument("--change-body", action="store_true", help="change one byte after signing")
options = parser.parse_args()

body = json.dumps({"user": options.user, "type": "welcome-message"}).encode()
claims = {
    "iss": "https://legacy.service/",
    "aud": "https://herald.service/",
    "sub": options.subject,
    "bdy": hashlib.md5(body).hexdigest(),
}
headers = {"Content-Type": "application/json"}
if options.grant:
    headers["Txn-Token"] = pathlib.Path(options.grant).read_text().strip()
    digest = hashlib.sha256(headers["Txn-Token"].encode()).digest()
    claims["tth"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
headers["JWT"] = jwt.encode(claims, pathlib.Path(options.key).read_text(), algorithm="ES256")

if options.change_body:
    body = body.replace(b"42", b"43")
herald = http.client.HTTPConnection(urllib.parse.urlsplit(options.herald).netloc, timeout=20)
herald.request("POST", "/notification/", body, headers)
answer = herald.getresponse()
print(answer.status, answer.getheader("Location") or answer.read().decode())
sys.exit(0 if answer.status == 201 else 1)

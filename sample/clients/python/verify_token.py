#!/usr/bin/python3
"""Verifies a strict token: signature, audience, times. Prints its claims; exits with 1 for a bad one.

With --grant, verifies the grant beside it too, and prints its claims as the member "grant".
Binding to the request (req, hdr, bdy) and single use (jti) are for whoever has the request.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import sys
import time

import jwt  # PyJWT

LEEWAY_SECONDS, MAX_LIFETIME_SECONDS = 5, 86400
CLAIMS_OF_GRANT = ["iss", "sub", "aud", "iat", "exp", "txn", "scope", "req_wl"]
SCOPE = r"[\x21\x23-\x5b\x5d-\x7e]+"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("token")
parser.add_argument("public_key", help="file, SPKI PEM")
parser.add_argument("audience", help="URI of the service the token is for")
parser.add_argument("--grant", help="file: the value of Txn-Token")
parser.add_argument("--trust-domain", help="what aud of the grant must be")
parser.add_argument("--originator", help="URI of the service that may vouch")
parser.add_argument("--originator-key", help="file, SPKI PEM")
parser.add_argument("--users", help="prefix of the users it may vouch for")
parser.add_argument("--scope", help="a scope that the grant must have")
parser.add_argument("--max-age", type=int, default=300, help="seconds since the grant was made")
options = parser.parse_args()


class Refused(Exception):
    pass


def refuse_if(flaw, code):
    if flaw:
        raise Refused(code)


def verify_token():
    if jwt.get_unverified_header(options.token).get("typ") != "svc+jwt":
        raise jwt.InvalidTokenError("typ is not svc+jwt")
    return jwt.decode(
        options.token,
        pathlib.Path(options.public_key).read_text(),
        algorithms=["ES256"],
        audience=options.audience,
        leeway=LEEWAY_SECONDS,
        options={"require": ["iss", "aud", "iat", "exp", "jti", "req"]},
    )


def read_grant(text):
    """The claims of a grant whose form and signature are good: PyJWT looks at no time and no audience."""
    checks = {"require": CLAIMS_OF_GRANT, "verify_exp": False, "verify_iat": False, "verify_aud": False}
    try:
        header = jwt.get_unverified_header(text)
        is_typed = str(header.get("typ")).lower() in ("txntoken+jwt", "application/txntoken+jwt")
        refuse_if(set(header) != {"alg", "kid", "typ"} or not is_typed, "grant_invalid")
        unverified = jwt.decode(text, options={"verify_signature": False})
        refuse_if(unverified.get("iss") != options.originator, "originator_unknown")
        key = pathlib.Path(options.originator_key).read_text()
        return jwt.decode(text, key, algorithms=["ES256"], options=checks)
    except jwt.PyJWTError as error:
        raise Refused("grant_invalid") from error


def check_form(grant):
    for name in ("sub", "aud", "txn", "scope", "req_wl"):
        refuse_if(not isinstance(grant[name], str) or not grant[name], "grant_invalid")
    for name in ("iat", "exp"):
        refuse_if(type(grant[name]) not in (int, float), "grant_invalid")
    refuse_if(not 0 < grant["exp"] - grant["iat"] <= MAX_LIFETIME_SECONDS, "grant_invalid")
    refuse_if(not 16 <= len(grant["txn"]) <= 256, "grant_invalid")
    refuse_if(not re.fullmatch(f"{SCOPE}( {SCOPE})*", grant["scope"]), "grant_invalid")


def verify_grant(text, claims):
    """docs/protocol.md, section "Grants", for one originator with one key."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
    refuse_if(not re.fullmatch(r"[\x21-\x7e]{1,4096}", text), "grant_invalid")
    refuse_if(claims.get("tth") != digest.rstrip("="), "grant_mismatch")
    grant = read_grant(text)
    check_form(grant)
    is_meant = grant["aud"] == options.trust_domain and grant["sub"] == claims.get("sub")
    refuse_if(not is_meant, "grant_mismatch")
    is_under = grant["sub"].startswith(options.users) and not re.search(r"/\.|%2e", grant["sub"], re.I)
    refuse_if(not is_under, "originator_not_allowed")
    now = time.time()
    refuse_if(grant["exp"] + LEEWAY_SECONDS <= now, "grant_expired")
    refuse_if(grant["iat"] - LEEWAY_SECONDS > now, "grant_not_yet_valid")
    refuse_if(now - grant["iat"] > options.max_age + LEEWAY_SECONDS, "grant_expired")
    refuse_if(options.scope and options.scope not in grant["scope"].split(" "), "scope_missing")
    return grant


try:
    claims = verify_token()
    if options.grant:
        claims["grant"] = verify_grant(pathlib.Path(options.grant).read_text().strip(), claims)
except (jwt.InvalidTokenError, Refused) as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(json.dumps(claims))

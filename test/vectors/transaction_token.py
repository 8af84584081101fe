#!/usr/bin/python3
"""Makes and verifies Transaction Tokens by draft-ietf-oauth-transaction-tokens-10 and PyJWT, without a rule of this project.

    transaction_token.py make <private key file> <algorithm> < {"header": {...}, "claims": {...}}
    transaction_token.py verify <JWK Set file> <trust domain> < token
"""

import json
import pathlib
import sys

import jwt  # PyJWT

ASYMMETRIC = ["EdDSA", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]
REQUIRED = ["iat", "aud", "exp", "txn", "sub", "scope", "req_wl"]  # "JWT Body Claims"; iss is optional


def make(key_file, algorithm):
    given = json.load(sys.stdin)
    key = pathlib.Path(key_file).read_text()
    headers = {"typ": "txntoken+jwt", **given["header"]}  # "JWT Header"
    return jwt.encode(given["claims"], key, algorithm=algorithm, headers=headers)


def verify(keys_file, trust_domain):
    token = sys.stdin.read()
    header = jwt.get_unverified_header(token)
    if header["typ"] != "txntoken+jwt":  # "MUST be present and MUST have the value"
        raise jwt.InvalidTokenError("typ")
    keys = jwt.PyJWKSet.from_json(pathlib.Path(keys_file).read_text()).keys
    key = next(key for key in keys if key.key_id == header["kid"])
    # "Txn-Token Validation": the signature, the trust domain, the expiry.
    options = {"require": REQUIRED}
    claims = jwt.decode(token, key.key, algorithms=ASYMMETRIC, audience=trust_domain, options=options)
    for name in ("txn", "sub", "scope", "req_wl"):
        if not isinstance(claims[name], str):
            raise jwt.InvalidTokenError(name)
    if not isinstance(claims.get("tctx", {}), dict):  # "a JSON object"
        raise jwt.InvalidTokenError("tctx")
    return json.dumps(claims)


if __name__ == "__main__":
    try:
        print({"make": make, "verify": verify}[sys.argv[1]](*sys.argv[2:]))
    except jwt.PyJWTError as error:
        sys.exit(f"{type(error).__name__}: {error}")

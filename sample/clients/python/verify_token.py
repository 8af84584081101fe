#!/usr/bin/python3
"""Verifies a strict token: signature, audience, times. Prints its claims; exits with 1 for a bad one.

Binding to the request (req, hdr, bdy) and single use (jti) are for whoever has the request.
"""

import argparse
import json
import pathlib
import sys

import jwt  # PyJWT

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("token")
parser.add_argument("public_key", help="file, SPKI PEM")
parser.add_argument("audience", help="URI of the service the token is for")
options = parser.parse_args()

try:
    public_key = pathlib.Path(options.public_key).read_text()
    if jwt.get_unverified_header(options.token).get("typ") != "svc+jwt":
        raise jwt.InvalidTokenError("typ is not svc+jwt")
    claims = jwt.decode(
        options.token,
        public_key,
        algorithms=["ES256"],
        audience=options.audience,
        leeway=5,
        options={"require": ["iss", "aud", "iat", "exp", "jti", "req"]},
    )
except jwt.InvalidTokenError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(json.dumps(claims))

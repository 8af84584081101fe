#!/usr/bin/python3
"""Verifies the vectors of this folder with PyJWT and cryptography alone.

docs/protocol.md: "Receiving", "Grants", "Messages", "Answers to messages".
"""

import base64
import contextlib
import hashlib
import json
import math
import pathlib
import re
import sys
import urllib.parse

import jwt  # PyJWT
from cryptography.hazmat.primitives.asymmetric import rsa

FOLDER = pathlib.Path(__file__).parent
FILES = ["syntax", "header", "claims", "binding", "gateway", "original", "algorithms", "grants"]
ALGORITHMS = {f"{kind}{bits}" for kind in ("ES", "PS", "RS") for bits in (256, 384, 512)}
ALGORITHMS |= {"EdDSA", "Ed25519"}
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
DIGESTS = {32: "md5", 64: "sha256", 96: "sha384", 128: "sha512"}
POLICY = {"issuer_not_allowed", "subject_missing", "subject_not_allowed"}
POLICY |= {f"grant_{why}" for why in "missing repeated invalid mismatch expired not_yet_valid".split()}
POLICY |= {"originator_unknown", "originator_not_allowed", "scope_missing", "authentication_insufficient"}
REQUEST_LINE = r"[^ ]+ [^ ]+"
MESSAGE_LINE = r"(SEND|EMIT|JOB) [^\x00-\x1f\x7f-\x9f]+"
SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
MOST_VALUES, DEEPEST, LONGEST_DELAY_SECONDS = 1_000_000, 64, 7 * 86400
DESCRIBES_CONTENT = {"content-type", "content-encoding", "content-range"}
UNSAFE_IN_JTI = re.compile(r"[\x00-\x1f\x7f-\x9f\s]")
UNSAFE_IN_SUB = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
SCOPE = r"[\x21\x23-\x5b\x5d-\x7e]+"
REFUSED_SCHEMES = "javascript vbscript data blob file about filesystem view-source".split()


class Refused(Exception):
    """The code of a refusal."""


def refuse_if(flaw, code):
    if flaw:
        raise Refused(code)


def decode(segment):
    octets = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    refuse_if(base64.urlsafe_b64encode(octets).rstrip(b"=").decode() != segment, "token_malformed")
    return octets


def read_json(octets, code, most):
    """An object in UTF-8 without duplicate or dangerous names, at most 16 levels deep, with few members and items."""

    def unique(pairs):
        names = [name for name, _ in pairs]
        refuse_if(len(set(names)) < len(names), code)
        refuse_if({"__proto__", "constructor"} & set(names), code)
        return dict(pairs)

    def no_constant(_name):
        raise ValueError("no JSON")

    try:
        text = octets.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates
    except RecursionError:
        raise Refused(code) from None
    except ValueError:
        raise Refused("token_malformed") from None
    refuse_if(not isinstance(value, dict), "token_malformed")
    refuse_if(depth(value) > 16 or count(value) > most, code)
    return value


def count(value):
    if isinstance(value, dict):
        value = list(value.values())
    return len(value) + sum(map(count, value)) if isinstance(value, list) else 0


def depth(value):
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def read_token(headers):
    values = [value for name, value in headers if name.lower() == "jwt"]
    refuse_if(len(values) > 1, "token_repeated")
    refuse_if(not values or values[0] == "", "token_missing")
    token = values[0]
    refuse_if(len(token) > 8192, "token_too_large")
    refuse_if(re.fullmatch(r"[\w.-]+([ \t]*,[ \t]*[\w.-]+)+", token, re.ASCII), "token_repeated")
    return read_jws(token)


def read_jws(token):
    """Header, claims, what is signed, and the signature."""
    refuse_if(not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token, re.ASCII), "token_malformed")
    head, payload, signature = token.split(".")
    signature = decode(signature)
    header = read_json(decode(head), "header_invalid", 16)
    claims = read_json(decode(payload), "claim_invalid", 64)
    return header, claims, f"{head}.{payload}".encode(), signature


def check_header_types(header):
    alg, kid, typ = header.get("alg"), header.get("kid", "-"), header.get("typ", "-")
    bad_kid = not isinstance(kid, str) or not 1 <= len(kid) <= 256 or re.search(r"[\x00-\x1f\x7f-\x9f]", kid)
    flaw = not isinstance(alg, str) or "crit" in header or bad_kid or not isinstance(typ, str)
    refuse_if(flaw, "header_invalid")
    refuse_if(alg not in ALGORITHMS, "algorithm_refused")


def check_claim_types(claims, line=REQUEST_LINE):
    for name in ("iss", "aud", "sub", "jti", "req", "bdy"):
        refuse_if(name in claims and not (isinstance(claims[name], str) and claims[name]), "claim_invalid")
    for name in ("iat", "exp", "nbf"):
        refuse_if(not is_number(claims.get(name, 0)), "claim_invalid")
    jti, req, bdy, hdr = (claims.get(name) for name in ("jti", "req", "bdy", "hdr"))
    refuse_if(jti is not None and (not 16 <= len(jti) <= 256 or UNSAFE_IN_JTI.search(jti)), "claim_invalid")
    refuse_if(req is not None and (len(req) > 4096 or not re.fullmatch(line, req)), "claim_invalid")
    is_digest = bdy is None or (len(bdy) in DIGESTS and re.fullmatch(r"[0-9a-f]+", bdy))
    refuse_if(not is_digest, "claim_invalid")
    if "sub" in claims:
        check_subject(claims["sub"])
    if "hdr" in claims:
        refuse_if(not isinstance(hdr, dict) or len(hdr) > 32, "claim_invalid")
        for name, value in hdr.items():
            is_name = re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name)
            refuse_if(not is_name or not isinstance(value, str), "claim_invalid")
    refuse_if("iss" not in claims, "claim_missing")


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_subject(subject):
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):.", subject)
    flaw = len(subject) > 1024 or UNSAFE_IN_SUB.search(subject) or not scheme
    refuse_if(flaw or scheme[1].lower() in REFUSED_SCHEMES, "claim_invalid")
    authority = urllib.parse.urlsplit(subject).netloc
    is_web = scheme[1].lower() in ("http", "https")
    refuse_if("@" in authority or (is_web and not authority), "claim_invalid")


def check_header(header, expected, is_strict=True):
    refuse_if(is_strict and set(header) - {"alg", "kid", "typ"}, "header_invalid")
    typ = header.get("typ", "" if is_strict else expected).lower().removeprefix("application/")
    refuse_if(typ != expected, "header_invalid")
    refuse_if(is_strict and "kid" not in header, "key_unknown")


def check_profile(header, claims, profile):
    is_strict = profile == "strict"
    check_header(header, "svc+jwt" if is_strict else "jwt", is_strict)
    required = "iss aud iat exp jti req" if is_strict else "iss aud sub"
    refuse_if(any(name not in claims for name in required.split()), "claim_missing")
    refuse_if(is_strict and len(claims.get("bdy", "-")) == 32, "claim_invalid")


def load_key(jwk):
    """The public key of a JWK; None for one that nobody may use."""
    alg = jwk.get("alg")
    is_public = not set(jwk) & {"d", "k", "p", "q"}
    is_for_verifying = jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ["verify"])
    if alg not in ALGORITHMS or not is_public or not is_for_verifying:
        return None
    if alg in CURVES and jwk.get("crv") != CURVES[alg]:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm="EdDSA" if alg == "Ed25519" else alg).key
    except (jwt.PyJWTError, ValueError):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        return key if key.key_size >= 2048 and key.public_numbers().e >= 65537 else None
    return None if is_small_order(jwk) else key


def is_small_order(jwk):
    """Whether an Ed25519 key is the neutral point, or of order 2 or 4; the others need curve arithmetic."""
    if jwk.get("crv") != "Ed25519":
        return False
    y = int.from_bytes(base64.urlsafe_b64decode(jwk["x"] + "="), "little") & (1 << 255) - 1
    return y % (2**255 - 19) in (0, 1, 2**255 - 20)


def verify_signature(header, signed, signature, keys):
    found = keys if "kid" not in header else [jwk for jwk in keys if jwk["kid"] == header["kid"]]
    key = load_key(found[0]) if len(found) == 1 else None
    refuse_if(key is None, "key_unknown")
    alg = header["alg"]
    refuse_if(found[0]["alg"] != alg, "algorithm_refused")
    verifier = jwt.get_algorithm_by_name("EdDSA" if alg == "Ed25519" else alg)
    refuse_if(not verifier.verify(signed, key, signature), "signature_invalid")
    return found[0]["kid"]


def check_times(claims, now, tolerance, longest):
    exp, iat, nbf = (claims.get(name) for name in ("exp", "iat", "nbf"))
    refuse_if(exp is not None and exp + tolerance <= now, "token_expired")
    refuse_if(iat is not None and iat - tolerance > now, "token_not_yet_valid")
    if exp is not None:
        refuse_if(iat is not None and exp <= iat, "claim_invalid")
        refuse_if(nbf is not None and exp < nbf, "claim_invalid")
        refuse_if(iat is not None and exp - iat > longest, "lifetime_too_long")
        is_remembered = iat is None and "jti" in claims
        refuse_if(is_remembered and exp - tolerance > now + longest, "lifetime_too_long")
    elif "jti" in claims and iat is not None:
        refuse_if(iat + longest + tolerance <= now, "token_expired")
    refuse_if(nbf is not None and nbf - tolerance > now, "token_not_yet_valid")


def check_binding(request, headers, body, claims, receiver):
    line = f"{request['method']} {receiver['publicPathPrefix']}{request['target']}"
    refuse_if(claims["req"] != line, "request_mismatch")
    bound = claims.get("hdr", {})
    required = set(receiver["requiredHeaders"]) | (DESCRIBES_CONTENT if body else set())
    for name in required | set(bound):
        values = [value for other, value in headers if other.lower() == name]
        refuse_if(name in bound and values != [bound[name]], "header_mismatch")
        refuse_if(name not in bound and values, "header_mismatch")


def check_body(headers, body, bdy):
    codings = [value.lower() for name, value in headers if name.lower() == "transfer-encoding"]
    refuse_if(codings not in ([], ["chunked"]), "body_unverifiable")
    refuse_if(bdy is None and body, "claim_missing")
    refuse_if(bdy is not None and hashlib.new(DIGESTS[len(bdy)], body).hexdigest() != bdy, "body_mismatch")


def check_policy(claims, issuer, request, routes):
    path = request["target"].split("?")[0]
    route = next((one for one in routes if one["path"] == path), {})
    refuse_if(issuer["issuer"] not in route.get("allowedIssuers", [issuer["issuer"]]), "issuer_not_allowed")
    subject = claims.get("sub")
    refuse_if(route.get("subjectRequired") and subject is None, "subject_missing")
    prefixes = issuer["subjects"]
    is_free = subject is None or prefixes is None or is_within(subject, prefixes)
    refuse_if(not is_free, "subject_not_allowed")
    return route


def is_within(subject, prefixes):
    """Whether a user is below a prefix. One with a dot segment is below none."""
    has_dots = {".", ".."} & set(urllib.parse.unquote(subject).split("/"))
    return not has_dots and subject.startswith(tuple(prefixes))


@contextlib.contextmanager
def as_grant():
    """What is wrong with a service token of this form, is wrong with the grant."""
    try:
        yield
    except Refused:
        raise Refused("grant_invalid") from None


def read_pair(headers, claims):
    """The one grant that came with a token that was made for it."""
    values = [value for name, value in headers if name.lower() == "txn-token"]
    refuse_if(len(values) > 1, "grant_repeated")
    grant = values[0] if values else ""
    refuse_if(not grant and "tth" not in claims, "grant_missing")
    refuse_if(not grant or "tth" not in claims, "grant_mismatch")
    refuse_if(len(grant) > 4096, "grant_invalid")
    refuse_if("," in grant, "grant_repeated")
    refuse_if(not re.fullmatch(r"[\x21-\x7e]+", grant), "grant_invalid")
    digest = base64.urlsafe_b64encode(hashlib.sha256(grant.encode()).digest())
    refuse_if(claims["tth"] != digest.decode().rstrip("="), "grant_mismatch")
    return grant


def check_grant_claims(grant, longest):
    for name in ("iss", "aud", "sub", "txn", "scope", "req_wl"):
        refuse_if(not isinstance(grant.get(name), str) or not grant[name], "grant_invalid")
    refuse_if(not is_number(grant.get("iat")) or not is_number(grant.get("exp")), "grant_invalid")
    refuse_if(not 0 < grant["exp"] - grant["iat"] <= longest, "grant_invalid")
    refuse_if(not re.fullmatch(r"[\x21-\x7e]{1,256}", grant["aud"]), "grant_invalid")
    txn = grant["txn"]
    refuse_if(not 16 <= len(txn) <= 256 or UNSAFE_IN_JTI.search(txn), "grant_invalid")
    refuse_if(not re.fullmatch(f"{SCOPE}( {SCOPE})*", grant["scope"]), "grant_invalid")
    check_subject(grant["sub"])
    refuse_if(not isinstance(grant.get("acr", ""), str), "grant_invalid")
    refuse_if(not is_number(grant.get("auth_time", 0)), "grant_invalid")
    amr = grant.get("amr", [])
    is_list = isinstance(amr, list) and all(isinstance(item, str) for item in amr)
    refuse_if(not is_list, "grant_invalid")
    refuse_if(any(not isinstance(grant.get(name, {}), dict) for name in ("tctx", "rctx")), "grant_invalid")


def verify_grant(text, receiver):
    """The claims of a grant, and the originator that signed it."""
    with as_grant():
        header, grant, signed, signature = read_jws(text)
        check_header_types(header)
        typ = header.get("typ", "").lower().removeprefix("application/")
        refuse_if(set(header) != {"alg", "kid", "typ"} or typ != "txntoken+jwt", "grant_invalid")
        check_grant_claims(grant, receiver["maxGrantLifetimeSeconds"])
    originators = {one["issuer"]: one for one in receiver["originators"]}
    refuse_if(grant["iss"] not in originators, "originator_unknown")
    originator = originators[grant["iss"]]
    callers = {one["issuer"]: one for one in receiver["trustedIssuers"]}
    with as_grant():
        keys = originator["keys"] or callers[grant["iss"]]["keys"]
        verify_signature(header, signed, signature, keys)
    return grant, originator


def check_meaning(grant, originator, subject, trust_domain):
    refuse_if(grant["aud"] != trust_domain or grant["sub"] != subject, "grant_mismatch")
    refuse_if(not is_within(subject, originator["subjects"]), "originator_not_allowed")
    scopes = grant["scope"].split(" ")
    is_limited = originator["scopes"] is not None
    refuse_if(is_limited and set(scopes) - set(originator["scopes"]), "originator_not_allowed")


def check_age(grant, most, now, tolerance):
    refuse_if(grant["exp"] + tolerance <= now, "grant_expired")
    refuse_if(grant["iat"] - tolerance > now, "grant_not_yet_valid")
    refuse_if(now - grant["iat"] > most + tolerance, "grant_expired")


def check_asked(grant, asked):
    refuse_if(grant["iss"] not in asked.get("originators", [grant["iss"]]), "originator_not_allowed")
    refuse_if(set(asked.get("scopes", [])) - set(grant["scope"].split(" ")), "scope_missing")
    refuse_if("acrs" in asked and grant.get("acr") not in asked["acrs"], "authentication_insufficient")


def prove_subject(claims, headers, terms, receiver, now):
    """What a grant proves of the user; None where nothing has to be proved. `terms`: what the issuer and the route ask."""
    proof, asked = terms
    if "sub" not in claims:
        is_needed = asked is not None or (proof["mode"] == "required" and proof["withoutSubject"] == "refused")
        refuse_if(is_needed, "subject_missing")
        return None
    if asked is None and proof["mode"] != "required":
        return None
    text = read_pair(headers, claims)
    grant, originator = verify_grant(text, receiver)
    check_meaning(grant, originator, claims["sub"], receiver["trustDomain"])
    most = min(limits.get("maxAgeSeconds", 300) for limits in (proof, asked or {}))
    check_age(grant, most, now, receiver["clockToleranceSeconds"])
    check_asked(grant, asked or {})
    proved = {"originator": grant["iss"], "transaction": grant["txn"], "scopes": grant["scope"].split(" ")}
    times = {"issuedAtSeconds": grant["iat"], "expiresAtSeconds": grant["exp"]}
    return {**proved, **times, "acr": grant.get("acr")}


def verify(vector, receiver, now, used):
    """The identity that a vector proves, and its grant. Raises Refused."""
    request, token = vector["request"], vector["token"]
    headers = request["headers"] + ([["JWT", token]] if token is not None else [])
    body = base64.b64decode((request["body"] or {"base64": ""})["base64"])
    header, claims, signed, signature = read_token(headers)
    check_header_types(header)
    check_claim_types(claims)
    issuer = next((one for one in receiver["trustedIssuers"] if one["issuer"] == claims["iss"]), None)
    refuse_if(issuer is None, "issuer_unknown")
    is_strict = issuer["profile"] == "strict"
    check_profile(header, claims, issuer["profile"])
    key_id = verify_signature(header, signed, signature, issuer["keys"])
    longest = receiver["maxTokenLifetimeSeconds"] if is_strict else 3600
    check_times(claims, now, receiver["clockToleranceSeconds"], longest)
    refuse_if(claims["aud"] not in receiver["audiences"], "audience_mismatch")
    if is_strict:
        check_binding(request, headers, body, claims, receiver)
    check_body(headers, body, claims.get("bdy"))
    route = check_policy(claims, issuer, request, receiver["routes"])
    terms = issuer.get("subjectProof", {"mode": "off"}), route.get("proof")
    grant = prove_subject(claims, headers, terms, receiver, now)
    use = (claims["iss"], claims.get("jti"))
    refuse_if(use in used, "token_replayed")
    if "jti" in claims:
        used.add(use)
    names = {"issuer": "iss", "audience": "aud", "subject": "sub", "tokenId": "jti"}
    identity = {**{name: claims.get(claim) for name, claim in names.items()}, "keyId": key_id}
    return {"identity": identity, **({"grant": grant} if "originators" in receiver else {})}


def to_text(value, depth=0):
    """The JSON text of a value as JavaScript writes it. Raises Refused for a value that no such text has."""
    refuse_if(depth > DEEPEST, "body_unverifiable")
    if isinstance(value, list):
        return "[" + ",".join(to_text(item, depth + 1) for item in value) + "]"
    if isinstance(value, dict):
        names = sorted((name for name in value if is_index(name)), key=int)
        names += [name for name in value if not is_index(name)]
        return "{" + ",".join(f"{quote(name)}:{to_text(value[name], depth + 1)}" for name in names) + "}"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, float):
        return number_text(value)
    return {None: "null", True: "true", False: "false"}[value]


def is_index(name):
    """Whether JavaScript puts a member of this name before the others."""
    return re.fullmatch(r"0|[1-9][0-9]{0,9}", name) and int(name) < 2**32 - 1


def quote(text):
    def escaped(character):
        code = ord(character)
        must_be = code < 0x20 or 0xD800 <= code <= 0xDFFF
        return SHORT_ESCAPES.get(character, f"\\u{code:04x}" if must_be else character)

    return '"' + "".join(map(escaped, text)) + '"'


def number_text(value):
    """ECMA-262 section 6.1.6.1.20: the shortest digits, with an exponent outside of 1e-7 to 1e21."""
    is_negative_zero = value == 0 and math.copysign(1, value) < 0
    refuse_if(not math.isfinite(value) or is_negative_zero, "body_unverifiable")
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    padded = whole + part
    digits = padded.lstrip("0")
    point = len(whole) - (len(padded) - len(digits)) + int(power or 0)
    digits = digits.rstrip("0") or "0"
    sign = "-" if value < 0 else ""
    if value == 0:
        return "0"
    if -6 < point <= 21:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        rest = digits[point:]
        return sign + digits[:point].ljust(point, "0") + (f".{rest}" if rest else "")
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def read_data(text):
    """What JavaScript parses a JSON text to: every number is a double, and of one name the last value counts."""
    value = json.loads(text, parse_int=float)
    refuse_if(count_values(value) > MOST_VALUES, "body_unverifiable")
    return value


def count_values(value):
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(map(count_values, value)) if isinstance(value, list) else 1


def check_message_claims(claims, bodies):
    required = "iss aud iat exp jti req".split()
    refuse_if(any(name not in claims for name in required), "claim_missing")
    refuse_if("hdr" in claims, "claim_invalid")
    wanted, other = ("raw", "bdy") if bodies == "raw" else ("bdy", "raw")
    refuse_if(other in claims, "claim_invalid")
    refuse_if(wanted not in claims, "claim_missing")
    digest = claims[wanted]
    refuse_if(not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest), "claim_invalid")
    return digest


def check_message_times(claims, now, tolerance, longest):
    exp, iat = claims["exp"], claims["iat"]
    nbf = claims.get("nbf", iat)
    start = max(iat, nbf)
    refuse_if(exp + tolerance <= now, "token_expired")
    refuse_if(iat - tolerance > now, "token_not_yet_valid")
    refuse_if(exp <= start, "claim_invalid")
    refuse_if(exp - start > longest or start - iat > LONGEST_DELAY_SECONDS, "lifetime_too_long")
    refuse_if(nbf - tolerance > now, "token_not_yet_valid")


def digest_of(message, bodies):
    if bodies == "raw":
        refuse_if(message["bytes"] is None, "body_unverifiable")
        return hashlib.sha256(message["bytes"].encode()).hexdigest()
    return hashlib.sha256(to_text(read_data(message["data"])).encode()).hexdigest()


def verify_message(vector, receiver, now, used):
    """The identity that a message proves. Raises Refused."""
    message = vector["message"]
    verb = message["verb"]
    header, claims, signed, signature = read_token(message["headers"])
    check_header_types(header)
    check_claim_types(claims, MESSAGE_LINE)
    issuer = next((one for one in receiver["trustedIssuers"] if one["issuer"] == claims["iss"]), None)
    transport = "jobs" if verb == "JOB" else "messages"
    refuse_if(issuer is None or transport not in issuer["transports"], "issuer_unknown")
    refuse_if(issuer["profile"] != "strict", "header_invalid")
    check_header(header, "msg+jwt")
    digest = check_message_claims(claims, issuer["bodies"])
    key_id = verify_signature(header, signed, signature, issuer["keys"])
    longest = receiver["maxTokenLifetimeSeconds" if verb == "SEND" else "maxMessageLifetimeSeconds"]
    check_message_times(claims, now, receiver["clockToleranceSeconds"], longest)
    audiences = receiver["audiences"] + (receiver["topics"] if verb == "EMIT" else [])
    refuse_if(claims["aud"] not in audiences, "audience_mismatch")
    refuse_if(claims["req"] != f"{verb} {message['route']}", "request_mismatch")
    refuse_if(digest_of(message, issuer["bodies"]) != digest, "body_mismatch")
    subject, prefixes = claims.get("sub"), issuer["subjects"]
    is_free = subject is None or prefixes is None or is_within(subject, prefixes)
    refuse_if(not is_free, "subject_not_allowed")
    use = (claims["iss"], claims["jti"])
    refuse_if(use in used, "token_replayed")
    used.add(use)
    names = {"issuer": "iss", "audience": "aud", "subject": "sub", "tokenId": "jti"}
    identity = {**{name: claims.get(claim) for name, claim in names.items()}, "keyId": key_id}
    ans = claims.get("ans")
    return {"identity": identity, "wantsAnswer": verb == "SEND" and is_number(ans) and ans == 1}


def read_part(part, keys):
    """The claims of one part of an answer, whose signature is good."""
    token = part.get("JWT")
    refuse_if(not isinstance(token, str), "answer_unsigned")
    refuse_if(not isinstance(part.get("text", ""), str), "answer_invalid")
    try:
        header, claims, signed, signature = read_jws(token)
        check_header_types(header)
        check_header(header, "ans+jwt")
        verify_signature(header, signed, signature, keys)
    except Refused:
        raise Refused("answer_invalid") from None
    return claims


def read_answer(parts, message, keys, values):
    """The text of the error of an answer, or None; adds the texts of its values, None for undefined, to `values`. Raises Refused."""
    is_over, error = False, None
    for seq, part in enumerate(parts):
        claims, text = read_part(part, keys), part.get("text")
        meant = {"iss": message["answerer"], "aud": message["asker"], "rid": message["tokenId"]}
        is_meant = all(claims.get(name) == value for name, value in meant.items())
        is_next = is_number(claims.get("seq")) and claims["seq"] == seq
        refuse_if(not is_meant or is_over or not is_next, "answer_mismatch")
        digest = None if text is None else hashlib.sha256(text.encode()).hexdigest()
        refuse_if(claims.get("bdy") != digest, "answer_invalid")
        refuse_if(any(claims.get(mark, True) is not True for mark in ("end", "err")), "answer_invalid")
        refuse_if(text is None and "err" in claims, "answer_invalid")
        is_over = "end" in claims or "err" in claims
        if text is not None:
            check_json(text)
        if "err" in claims:
            error = text
        elif text is not None or not is_over:
            values.append(text)
    refuse_if(not is_over, "answer_mismatch")
    return error


def check_json(text):
    try:
        json.loads(text)
    except ValueError:
        raise Refused("answer_invalid") from None


def answer_outcome(vector, file):
    values = []
    try:
        error = read_answer(vector["parts"], file["message"], file["keys"], values)
        return {"verdict": "believed", "values": values, "error": error}
    except Refused as refusal:
        return {"verdict": "refused", "code": str(refusal), "values": values}


def outcome(vector, receiver, now, used, check=verify):
    try:
        return {"verdict": "accepted", **check(vector, receiver, now, used)}
    except Refused as refusal:
        code = str(refusal)
        status = 403 if code in POLICY else 415 if code == "body_unverifiable" else 401
        return {"verdict": "refused", "code": code, "status": status}


def receiver_with(jwk, receiver):
    """The receiver of issuer-keys.json, with one key."""
    issuer = {**receiver["trustedIssuer"], "subjects": None, "keys": [jwk]}
    limits = {"clockToleranceSeconds": 5, "maxTokenLifetimeSeconds": 300, "publicPathPrefix": ""}
    lists = {"audiences": [receiver["issuer"]], "requiredHeaders": [], "routes": []}
    return {**limits, **lists, "trustedIssuers": [issuer]}


def read(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def run():
    """Every vector of every file, in order."""
    for name in FILES:
        file, used = read(name), set()
        for vector in file["vectors"]:
            yield name, vector, outcome(vector, file["receiver"], file["now"], used)
    file, used = read("messages"), set()
    for vector in file["vectors"]:
        yield "messages", vector, outcome(vector, file["receiver"], file["now"], used, verify_message)
    file = read("answers")
    for vector in file["vectors"]:
        yield "answers", vector, answer_outcome(vector, file)
    file = read("issuer-keys")
    for vector in file["vectors"]:
        # A key that is refused is left out here, whatever the header of its token says.
        receiver = receiver_with(vector["jwk"], file["receiver"])
        seen = outcome(vector, receiver, file["now"], set())
        is_refused = load_key(vector["jwk"]) is None and seen["verdict"] == "refused"
        yield "issuer-keys", vector, vector["expected"] if is_refused else seen


if __name__ == "__main__":
    passed = failed = 0
    for name, vector, seen in run():
        is_right = seen == vector["expected"]
        passed, failed = passed + is_right, failed + (not is_right)
        if not is_right:
            print(f"FAILED  {name} {vector['id']}: {seen}, expected {vector['expected']}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)

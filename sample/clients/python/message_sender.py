#!/usr/bin/python3
"""Sends a signed event over RabbitMQ or Redis, to a Nest service: docs/messages.md, "Other languages"."""

import argparse
import hashlib
import json
import pathlib
import secrets
import time

import jwt  # PyJWT

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("broker", choices=["rabbitmq", "redis"])
parser.add_argument("--port", type=int, required=True, help="of the broker, on this machine")
parser.add_argument("--queue", default="census", help="RabbitMQ alone: that of the service")
parser.add_argument("--raw", action="store_true", help="RabbitMQ alone: sign the bytes of the message")
parser.add_argument("--key", required=True, help="file, PKCS#8 PEM")
parser.add_argument("--key-id", default="reports-1", help="kid, as the service knows it")
parser.add_argument("--subject", default="https://census.service/user/21/", help="on whose behalf")
parser.add_argument("--pattern", default="user.changed")
parser.add_argument("--data", default='{"id": 42, "name": "Zoë"}', help="JSON")
parser.add_argument("--change-data", action="store_true", help="change the data after signing")
options = parser.parse_args()


def text_of(data):
    """The JSON text that JavaScript writes: of text, whole numbers below 2**53, booleans, None, lists and dicts.

    The names in a dict are no whole numbers: JavaScript would put those first. A float is no simple matter.
    """
    if isinstance(data, float) or (type(data) is int and abs(data) >= 2**53):
        raise ValueError(f"{data!r} may be another text in JavaScript: send it as text")
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else []:
        text_of(item)
    if isinstance(data, dict) and any(not isinstance(name, str) or name.isdecimal() for name in data):
        raise ValueError("a name in a dict is a whole number")
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def sign(digest):
    """`digest` is the claim that binds the data: bdy or raw."""
    now = int(time.time())
    claims = {
        "iss": "https://reports.service/",
        "aud": "https://census.service/",
        "sub": options.subject,
        "iat": now,
        "exp": now + 600,
        "jti": secrets.token_urlsafe(24),
        "req": f"EMIT {options.pattern}",
        **digest,
    }
    header = {"typ": "msg+jwt", "kid": options.key_id}
    key = pathlib.Path(options.key).read_text()
    return jwt.encode(claims, key, algorithm="ES256", headers=header)


def sha256(octets):
    return hashlib.sha256(octets).hexdigest()


def changed(data):
    return {**data, "id": 43} if options.change_data else data


def send_over_rabbitmq(data):
    import pika

    def message(data):
        return json.dumps({"pattern": options.pattern, "data": data}, ensure_ascii=False).encode()

    digest = {"raw": sha256(message(data))} if options.raw else {"bdy": sha256(text_of(data).encode())}
    properties = pika.BasicProperties(headers={"JWT": sign(digest)})
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", options.port))
    connection.channel().basic_publish("", options.queue, message(changed(data)), properties)
    connection.close()


def send_over_redis(data):
    import redis

    token = sign({"bdy": sha256(text_of(data).encode())})
    packet = {"pattern": options.pattern, "data": changed(data), "metadata": {"JWT": token}}
    redis.Redis(port=options.port).publish(options.pattern, json.dumps(packet, ensure_ascii=False))


send = {"rabbitmq": send_over_rabbitmq, "redis": send_over_redis}[options.broker]
send(json.loads(options.data))

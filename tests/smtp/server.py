"""A mail server for the tests: prints its port, then each mail as a line of JSON."""

import argparse
import asyncio
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--certificate", help="offer and require STARTTLS with this file")
parser.add_argument("--key")
parser.add_argument("--user", help="require a log-in as user:password")
parser.add_argument("--refuse", help="answer RCPT with this, as often as --times says")
parser.add_argument("--times", type=int, default=1_000_000)
parser.add_argument("--delay", type=float, default=0, help="seconds before a mail is taken")
arguments = parser.parse_args()


def say(**line):
    print(json.dumps(line), flush=True)


class Handler:
    refused = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if arguments.refuse and self.refused < arguments.times:
            Handler.refused += 1
            say(refused=address)
            return arguments.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        say(receiving=True)
        await asyncio.sleep(arguments.delay)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say(
            to=envelope.rcpt_tos,
            tls=session.ssl is not None,
            headers=[[name, str(value)] for name, value in message.items()],
            kind=message.get_content_type(),
            text=message.get_body(("plain",)).get_content(),
            html=message.get_body(("html",)).get_content(),
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    user, _, password = arguments.user.partition(":")
    is_right = data.login == user.encode() and data.password == password.encode()
    say(authenticated=is_right)
    # If not handled, the server itself answers 535.
    return AuthResult(success=is_right, handled=is_right)


def smtp():
    tls = None
    if arguments.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(arguments.certificate, arguments.key)
    return SMTP(
        Handler(),
        hostname="localhost",
        tls_context=tls,
        require_starttls=tls is not None,
        authenticator=authenticate if arguments.user else None,
        auth_required=arguments.user is not None,
        auth_require_tls=False,
    )


async def main():
    server = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", arguments.port)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())

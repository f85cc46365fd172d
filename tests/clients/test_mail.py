"""Mails against a real SMTP server, webhooks against the standard's own library: from the cause to the letter box."""

import email
import email.policy
import http.server
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.request

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from standardwebhooks import Webhook, WebhookVerificationError

from harness import eventually

USER, PASSWORD = "mailer", "correct horse battery"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class LetterBox:
    """Takes mails, and answers the next recipients as told."""

    def __init__(self):
        self.answers = []
        self.mails = []
        self.signed_in = []
        self.encrypted = []

    def authenticate(self, server, session, envelope, mechanism, data):
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.signed_in.append(right)
        # Not handled yet: the server sends the refusal.
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.encrypted.append(session.ssl is not None or isinstance(server.transport.get_extra_info("sslcontext"), ssl.SSLContext))
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 taken"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def context_of(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


class MailServer:
    def __init__(self, box, **options):
        self.box = box
        self.controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options)

    def __enter__(self):
        self.controller.start()
        return self

    def __exit__(self, *_):
        self.controller.stop()

    @property
    def port(self):
        return self.controller.port


class Program:
    """A server of its own, with the mail server's settings."""

    def __init__(self, **settings):
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDFREEDOM_")}
        environment |= {f"CLOUDFREEDOM_{name.upper()}": str(value) for name, value in settings.items()}
        data = os.path.join(self.folder.name, "data")
        command = [os.environ["CF_BINARY"], "serve", "--demo", "--listen", f"127.0.0.1:{port}", "--data-dir", data]
        self.log = open(os.path.join(self.folder.name, "log"), "w+")
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
        try:
            eventually(self._answers, "the program")
        except AssertionError:
            self.log.seek(0)
            raise AssertionError(self.log.read())
        with open(os.path.join(data, "demo.json")) as file:
            self.demo = json.load(file)
        who = self.demo["admin"]
        credentials = {"identity": who["email"], "password": who["password"]}
        _, answer = self.call("POST", "/api/collections/users/auth-with-password", credentials)
        self.headers = {"Authorization": answer["token"]}
        self.admin = answer["record"]

    def _answers(self):
        assert self.process.poll() is None, "the program ended"
        try:
            return self.call("GET", "/health")[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **getattr(self, "headers", {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def try_mail(self):
        status, answer = self.call("POST", "/api/messages/try-mail")
        assert status == 200, answer
        return answer["id"]

    def message(self, id):
        status, answer = self.call("GET", f"/api/collections/messages/records/{id}")
        assert status == 200, answer
        return answer

    def until(self, id, state):
        def probe():
            message = self.message(id)
            return message if message["state"] == state else None

        return eventually(probe, f"a message that is {state}")

    def until_error(self, id):
        return eventually(lambda: self.message(id)["last_error"], "an error that is written down")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=40)
        self.log.close()
        self.folder.cleanup()


def settings(server, security, **more):
    return {
        "smtp_host": "localhost",
        "smtp_port": server.port,
        "smtp_security": security,
        "smtp_from": "CloudFreedom <no-reply@example.com>",
        **more,
    }


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def box():
    return LetterBox()


SIGN_IN = {"smtp_user": USER, "smtp_password": PASSWORD}


def test_a_mail_goes_by_starttls_with_sign_in(authority, ca_file, box):
    options = {"tls_context": context_of(authority), "require_starttls": True}
    with MailServer(box, **options, auth_required=True, authenticator=box.authenticate) as server:
        with Program(**settings(server, "starttls", smtp_ca_file=ca_file, **SIGN_IN)) as program:
            id = program.try_mail()
            program.until(id, "sent")
    assert box.signed_in == [True]
    assert box.encrypted == [True]
    [(recipients, mail)] = box.mails
    assert recipients == [program.admin["email"]]
    assert mail["From"] == "CloudFreedom <no-reply@example.com>"
    assert mail["Message-ID"] == f"<{id}@example.com>"
    assert mail["Subject"] == "Der Mailversand funktioniert"
    assert "zur Probe verschickt" in mail.get_body(("plain",)).get_content()
    assert '<html lang="de">' in mail.get_body(("html",)).get_content()


def test_a_mail_goes_by_tls_from_the_start(authority, ca_file, box):
    options = {"ssl_context": context_of(authority), "auth_require_tls": False}
    with MailServer(box, **options, auth_required=True, authenticator=box.authenticate) as server:
        with Program(**settings(server, "tls", smtp_ca_file=ca_file, **SIGN_IN)) as program:
            program.until(program.try_mail(), "sent")
    assert box.signed_in == [True]
    assert len(box.mails) == 1


def test_a_server_with_a_strangers_certificate_is_told_nothing(authority, box):
    with MailServer(box, tls_context=context_of(authority), authenticator=box.authenticate) as server:
        # Without the authority that signed it.
        with Program(**settings(server, "starttls", **SIGN_IN)) as program:
            id = program.try_mail()
            assert "certificate" in program.until_error(id).lower()
            assert program.message(id)["state"] == "waiting"
    assert box.mails == [] and box.signed_in == []


def test_a_server_without_starttls_is_told_nothing(box):
    with MailServer(box, authenticator=box.authenticate, auth_require_tls=False) as server:
        with Program(**settings(server, "starttls", **SIGN_IN)) as program:
            id = program.try_mail()
            assert "STARTTLS" in program.until_error(id)
    assert box.mails == [] and box.signed_in == []


def test_a_wrong_password_does_not_cost_the_mail(authority, ca_file, box):
    options = {"tls_context": context_of(authority), "require_starttls": True}
    with MailServer(box, **options, auth_required=True, authenticator=box.authenticate) as server:
        wrong = {"smtp_user": USER, "smtp_password": "wrong-password-1234"}
        with Program(**settings(server, "starttls", smtp_ca_file=ca_file, **wrong)) as program:
            id = program.try_mail()
            error = program.until_error(id)
            assert "535" in error
            assert "wrong-password" not in error
            assert program.message(id)["state"] == "waiting"
            program.log.flush()
            program.log.seek(0)
            assert "wrong-password" not in program.log.read()
    assert box.mails == []


def test_a_mail_that_is_refused_for_now_comes_later_under_the_same_id(box):
    box.answers = ["451 4.7.1 greylisted, try again later"]
    with MailServer(box) as server, Program(**settings(server, "none")) as program:
        id = program.try_mail()
        assert "451" in program.until_error(id)
        # The first wait is five seconds.
        assert program.until(id, "sent")["tries"] == 2
    [(_, mail)] = box.mails
    assert mail["Message-ID"] == f"<{id}@example.com>"


def test_a_mail_that_is_refused_for_good_is_given_up_until_somebody_sends_it_again(box):
    box.answers = ["550 5.1.1 no such mailbox"]
    with MailServer(box) as server, Program(**settings(server, "none")) as program:
        id = program.try_mail()
        dead = program.until(id, "dead")
        assert dead["tries"] == 1
        assert "550" in dead["last_error"] and "no such mailbox" in dead["last_error"]
        status, answer = program.call("POST", f"/api/messages/{id}/resend")
        assert status == 200, answer
        program.until(id, "sent")
    assert len(box.mails) == 1


def test_mail_in_clear_to_another_machine_is_refused_at_the_start():
    command = [os.environ["CF_BINARY"], "doctor", "--smtp-host", "mail.example.com", "--smtp-security", "none"]
    run = subprocess.run([*command, "--smtp-from", "a@example.com"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert "smtp_allow_plaintext" in run.stderr


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((body, dict(self.headers)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_half_a_budget_is_told_by_mail_and_by_a_webhook_that_verifies(box, receiver):
    with MailServer(box) as server, Program(**settings(server, "none")) as program:
        url = f"http://127.0.0.1:{receiver.server_port}/hook"
        status, webhook = program.call("POST", "/api/collections/webhooks/records", {"name": "Ops", "url": url})
        assert status == 200, webhook
        _, users = program.call("GET", "/api/users?perPage=100")
        user = next(u for u in users["items"] if u["email"] == program.demo["user"]["email"])
        half = user["budget_total"] / 2
        spent = {
            "request_id": "half", "user_id": user["id"], "model": "demo", "prompt_tokens": 1,
            "completion_tokens": 1, "cost": half, "currency": user["budget_currency"],
        }  # fmt: skip
        status, answer = program.call("POST", "/api/usage/log", spent)
        assert status == 201, answer
        recipients, mail = eventually(lambda: box.mails and box.mails[0], "the mail")
        body, headers = eventually(lambda: receiver.received and receiver.received[0], "the webhook")
    assert recipients == [user["email"]]
    assert mail["Subject"] == "Ihr Budget ist zu 50 Prozent verbraucht"
    told = Webhook(webhook["secret"]).verify(body, headers)
    assert told["type"] == "budget.threshold_reached"
    assert told["data"]["owner_id"] == user["id"]
    assert told["data"]["percent"] == 50
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["secret"]).verify(body + b" ", headers)

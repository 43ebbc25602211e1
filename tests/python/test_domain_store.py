"""Domains that are created, changed and removed over the API: kept in SQLite and in a real PostgreSQL server."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

import pytest

import test_model_cache
from conftest import BINARY
from test_model_cache import domain, wait_for

WAIT_SECONDS = 60  # for what must happen soon, on a machine that is busy


class Postgres:
    """A PostgreSQL server of our own in a temporary folder, on a Unix socket alone."""

    def __init__(self):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        assert programs, "no PostgreSQL server is installed: scripts/install-deps.sh --tests"
        self.bin = programs[-1]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has 107 bytes
        # PostgreSQL refuses to run as root.
        self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self.as_user:
            shutil.chown(self.folder, "postgres", "postgres")
        self.run("initdb", "-D", self.folder / "data", "-A", "trust", "-U", "localai", "-E", "UTF8", "--no-sync")
        self.dsn = f"host={self.folder} user=localai dbname=postgres"
        self.start()

    def run(self, program, *args):
        command = [*self.as_user, self.bin / program, *args]
        done = subprocess.run([str(a) for a in command], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT_SECONDS)
        assert done.returncode == 0, done.stdout[-2000:]
        return done.stdout

    def start(self):
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=20"
        self.run("pg_ctl", "start", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options)

    def stop(self):
        self.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self.folder / "data")

    def sql(self, statement):
        return self.run("psql", "-h", self.folder, "-U", "localai", "-d", "postgres", "-At", "-c", statement).strip()


@pytest.fixture(scope="module")
def postgres():
    server = Postgres()
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request):
    """The environment of a server whose store is empty."""
    if request.param == "sqlite":
        return {}
    server = request.getfixturevalue("postgres")
    server.sql("DROP TABLE IF EXISTS localai_domain_changes, localai_schema")
    return {"POSTGRES_DSN": server.dsn}


def serving(folder, domains, default="file", **environment):
    return test_model_cache.serving(folder, domains, default, **environment)


def ids(server):
    return [one["id"] for one in server.client.get("/v1/domains").json()["data"]]


def test_create_change_remove_and_all_of_it_after_a_restart(tmp_path, smollm2, store):
    mine = domain(smollm2, system_prompt="You are mine.", keywords=["zebra"], aliases=["my"], api_key="secret")
    with serving(tmp_path, {"file": domain(smollm2), "old": domain(smollm2)}, **store) as server:
        http = server.client
        made = http.post("/v1/domains", json={"id": "mine", "config": mine, "metadata": {"training_run_id": "r7"}},
                         headers={"x-localai-actor": "ann"})
        assert made.status_code == 201 and made.headers["etag"] == '"1"', made.text
        assert made.headers["location"] == "/v1/domains/mine" and made.json()["version"] == 1
        assert made.json()["id"] == "mine" and made.json()["warnings"] == []
        assert "secret" not in made.text
        assert server.text("my"), "it answers at once"
        assert http.post("/v1/route", json={"input": "a zebra"}).json()["domain"] == "mine"
        again = http.post("/v1/domains", json={"id": "mine", "config": mine})
        assert again.status_code == 409 and again.json()["error"]["code"] == "conflict"

        changed = http.put("/v1/domains/mine", json={"config": mine | {"name": "Mine"}}, headers={"If-Match": '"1"'})
        assert changed.status_code == 200 and changed.headers["etag"] == '"2"' and changed.json()["name"] == "Mine"
        lost = http.put("/v1/domains/mine", json={"config": mine}, headers={"If-Match": '"1"'})
        assert lost.status_code == 412 and "version 2" in lost.json()["error"]["message"]
        lost = http.put("/v1/domains/mine", json={"config": mine, "version": 1})
        assert lost.status_code == 409 and lost.json()["error"]["code"] == "conflict"
        assert http.put("/v1/domains/nobody", json={"config": mine}).status_code == 404

        of_file = http.get("/v1/domains/old")
        assert of_file.headers["etag"] == '"0"'
        assert http.put("/v1/domains/old", json={"config": domain(smollm2, name="New")},
                        headers={"If-Match": '"0"'}).status_code == 200
        assert http.delete("/v1/domains/file?version=7").status_code == 409
        gone = http.delete("/v1/domains/file", headers={"x-localai-actor": "bob"})
        assert gone.status_code == 200 and gone.json()["deleted"] is True, gone.text
        assert "'file' is not a usable domain" in gone.json()["warnings"][0], "it was the default"
        assert http.get("/v1/domains/file").status_code == 404
        assert ids(server) == ["old", "mine"]

        versions = http.get("/v1/domains/mine/versions").json()["data"]
        assert [(v["version"], v["action"], v["actor"]) for v in versions] == [(2, "update", None), (1, "create", "ann")]
        assert versions[1]["metadata"] == {"training_run_id": "r7"} and versions[1]["config"]["aliases"] == ["my"]
        assert "api_key" not in versions[1]["config"]
        audit = http.get("/v1/domain-audit").json()["data"]
        assert [(a["domain"], a["action"]) for a in audit] == [
            ("file", "delete"), ("old", "update"), ("mine", "update"), ("mine", "create")]
        assert audit[0]["actor"] == "bob" and audit[0]["new"] is None and audit[0]["old"]["model_path"] == str(smollm2)
        assert audit[1]["new"]["name"] == "New" and audit[0]["request_id"] and abs(audit[0]["time"] - time.time()) < 3600
        older = http.get(f"/v1/domain-audit?before={audit[1]['sequence']}&limit=1&domain=mine").json()["data"]
        assert [a["version"] for a in older] == [2]
        assert http.get("/v1/domains/old/versions").json()["data"][0]["version"] == 1
        assert http.get("/v1/domains/nobody/versions").status_code == 404

        back = http.put("/v1/domains/mine", json={"restore_version": 1})
        assert back.status_code == 200 and back.json()["version"] == 3 and back.json()["name"] == "mine"
        assert http.put("/v1/domains/mine", json={"restore_version": 9}).json()["error"]["param"] == "restore_version"

    with serving(tmp_path, {"file": domain(smollm2), "old": domain(smollm2), "new": domain(smollm2)}, **store) as server:
        assert ids(server) == ["old", "new", "mine"], "the store over the file, and what was removed stays removed"
        assert server.client.get("/v1/domains/mine").json()["version"] == 3
        assert server.client.get("/v1/domains/old").json()["name"] == "New"
        made = server.client.post("/v1/domains/create", json={"domain_id": "file", "config": domain(smollm2)})
        assert made.status_code == 200 and made.json()["status"] == "success" and made.json()["domain_id"] == "file"
        assert server.client.get("/v1/domains/file").json()["version"] == 2


def test_a_bad_change_changes_nothing_and_names_the_key(tmp_path, smollm2, store):
    with serving(tmp_path, {"file": domain(smollm2), "broken": {"temperature": 9}}, **store) as server:
        http = server.client

        def refused(body, status, param, method="POST", path="/v1/domains"):
            answer = http.request(method, path, json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["param"]) == (status, param), answer.text
            return error["message"]

        good = domain(smollm2)
        assert "0..2" in refused({"id": "x", "config": good | {"temperature": 5}}, 400, "config.temperature")
        assert "model_path" in refused({"id": "x", "config": {"name": "x"}}, 400, "config")
        assert "quantize" in refused({"id": "x", "config": good | {"quantize": "q1"}}, 400, "config.quantize")
        refused({"id": "x", "config": good | {"routing": {"patterns": {"(": 1}}}}, 400, "config.routing")
        refused({"id": "x", "config": []}, 400, "config")
        refused({"id": "x"}, 400, "config")
        refused({"config": good}, 400, "id")
        for bad in ("auto", "create", "a/b", "a b", "x" * 129, "é"):
            refused({"id": bad, "config": good}, 400, "id")
            message = refused({"domain_id": bad, "config": good}, 400, "domain_id", path="/v1/domains/create")
            assert message.startswith("domain_id: ")
        refused({"id": "x", "config": good, "extra": 1}, 400, "extra")
        refused({"id": "x", "config": good | {"system_prompt": "x" * 300_000}}, 400, "config")
        refused({"config": good, "restore_version": 1}, 400, "restore_version", "PUT", "/v1/domains/file")
        refused({"config": good | {"top_p": 2}}, 400, "config.top_p", "PUT", "/v1/domains/file")
        assert http.put("/v1/domains/file", json={"config": good}, headers={"If-Match": "x"}).status_code == 400
        assert http.get("/v1/domain-audit?limit=0").status_code == 400
        assert http.patch("/v1/domains/file", json={}).headers["allow"] == "GET, HEAD, PUT, DELETE"
        assert http.get("/v1/domain-audit").json()["data"] == [] and ids(server) == ["file"]
        warned = http.post("/v1/domains", json={"id": "x", "config": good | {"temprature": 1}}).json()
        assert "did you mean 'temperature'?" in warned["warnings"][0]
        assert http.put("/v1/domains/broken", json={"config": good}).status_code == 200, "the API mends the file's"
        hidden = http.post("/v1/domains", json={"id": "off", "config": good | {"enabled_env_var": "NO_SUCH_VARIABLE"}})
        assert hidden.status_code == 201 and hidden.json()["available"] is False
        assert http.get("/v1/domains/off").status_code == 404


def test_of_many_that_replace_one_version_one_wins(tmp_path, smollm2, store):
    with serving(tmp_path, {"file": domain(smollm2)}, **store) as server:
        def replace(i):
            return server.client.put("/v1/domains/file", json={"config": domain(smollm2, name=str(i)), "version": 0})

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(replace, range(16)))
        assert sorted(a.status_code for a in answers) == [200] + [409] * 15
        winner = next(a.json()["name"] for a in answers if a.status_code == 200)
        assert server.client.get("/v1/domains/file").json()["name"] == winner


def test_a_running_stream_finishes_on_the_old_domain(tmp_path, smollm2):
    with serving(tmp_path, {"file": domain(smollm2), "doomed": domain(smollm2)}) as server:
        body = {"model": "doomed", "prompt": "Once upon a time", "max_tokens": 200, "stream": True, "ignore_eos": True,
                "temperature": 0}
        with server.client.stream("POST", "/v1/completions", json=body) as stream:
            lines = stream.iter_lines()
            first = next(line for line in lines if line.startswith("data: "))
            assert json.loads(first[6:])["localai"]["domain"] == "doomed"
            assert server.client.delete("/v1/domains/doomed").status_code == 200
            assert server.ask("doomed").status_code == 404
            rest = [line for line in lines if line.startswith("data: ")]
        assert rest[-1] == "data: [DONE]" and '"finish_reason":"length"' in rest[-2]


def test_servers_on_one_store_see_each_other(tmp_path, smollm2, store):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    data = {"DOMAIN_DATA_DIR": str(tmp_path / "data")}
    with serving(folders[0], {"file": domain(smollm2)}, **data, **store) as one, \
            serving(folders[1], {"file": domain(smollm2)}, **data, **store) as two:
        assert one.client.post("/v1/domains", json={"id": "both", "config": domain(smollm2)}).status_code == 201
        late = two.client.put("/v1/domains/both", json={"config": domain(smollm2), "version": 0})
        assert late.status_code == 409, "a change looks at the store first"
        wait_for(lambda: ids(two) == ["file", "both"], two)
        assert two.client.delete("/v1/domains/both").status_code == 200
        wait_for(lambda: ids(one) == ["file"], one)


def test_postgres_down_keeps_the_domains_and_refuses_changes(tmp_path, smollm2, postgres):
    postgres.sql("DROP TABLE IF EXISTS localai_domain_changes, localai_schema")
    config = {"file": domain(smollm2), "removed": domain(smollm2)}
    with serving(tmp_path, config, POSTGRES_DSN=postgres.dsn) as server:
        assert server.client.post("/v1/domains", json={"id": "kept", "config": domain(smollm2)}).status_code == 201
        assert server.client.delete("/v1/domains/removed").status_code == 200
        postgres.stop()
        try:
            refused = server.client.post("/v1/domains", json={"id": "late", "config": domain(smollm2)})
            assert refused.status_code == 503 and "domain store PostgreSQL" in refused.json()["error"]["message"]
            assert server.client.get("/v1/domain-audit").status_code == 503
            assert server.text("kept") and ids(server) == ["file", "kept"]
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "SIGHUP: the config is read again" in server.log.read_text(), server)
            assert ids(server) == ["file", "kept"], "as last seen"
            (tmp_path / "second").mkdir()
            with serving(tmp_path / "second", config, POSTGRES_DSN=postgres.dsn) as second:
                assert ids(second) == ["file", "removed"], "the file alone"
                postgres.start()
                wait_for(lambda: ids(second) == ["file", "kept"], second)
        finally:
            with contextlib.suppress(AssertionError):
                postgres.start()  # when it did not come to that
        assert server.client.post("/v1/domains", json={"id": "late", "config": domain(smollm2)}).status_code == 201
        assert postgres.sql("SELECT count(*) FROM localai_domain_changes") == "3"


def test_a_sqlite_file_that_cannot_be_used_refuses_changes_alone(tmp_path, smollm2):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with serving(tmp_path, {"file": domain(smollm2)}, DOMAIN_DATA_DIR=str(blocked)) as server:
        refused = server.client.post("/v1/domains", json={"id": "x", "config": domain(smollm2)})
        assert refused.status_code == 503 and "--data-dir" in refused.json()["error"]["message"]
        assert server.text("file")
    database = tmp_path / "domains.db"
    database.write_text("not a database, but long enough to look like one" * 100)
    with serving(tmp_path, {"file": domain(smollm2)}) as server:
        refused = server.client.delete("/v1/domains/file")
        assert refused.status_code == 503 and str(database) in refused.json()["error"]["message"]
        assert ids(server) == ["file"]
    database.unlink()
    other = sqlite3.connect(database)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with serving(tmp_path, {"file": domain(smollm2)}) as server:
        assert "another program" in server.client.delete("/v1/domains/file").json()["error"]["message"]


def test_a_sqlite_file_that_is_deleted_under_a_server_loses_no_change_silently(tmp_path, smollm2):
    database = tmp_path / "domains.db"
    with serving(tmp_path, {"file": domain(smollm2)}) as server:
        assert server.client.post("/v1/domains", json={"id": "mine", "config": domain(smollm2)}).status_code == 201
        database.unlink()
        refused = server.client.post("/v1/domains", json={"id": "late", "config": domain(smollm2)})
        assert refused.status_code == 503 and "was deleted while it was in use" in refused.json()["error"]["message"]
        assert server.client.get("/v1/domain-audit").status_code == 503
        assert ids(server) == ["file", "mine"] and not database.exists()
    with serving(tmp_path, {"file": domain(smollm2)}) as server:
        assert ids(server) == ["file"], "a restart begins with an empty store"
        assert server.client.post("/v1/domains", json={"id": "late", "config": domain(smollm2)}).status_code == 201


def command(folder, store, *args, status=0):
    """A command over the config of serving()."""
    done = subprocess.run([BINARY, *args, "--config", folder / "domains.json"], env={**os.environ, **store},
                          capture_output=True, text=True, timeout=WAIT_SECONDS)
    assert done.returncode == status, done.stderr
    return done.stderr if status else json.loads(done.stdout)


def test_commands_see_the_domains_of_the_store(tmp_path, smollm2, store):
    mine = domain(smollm2, keywords=["zebra"])
    with serving(tmp_path, {"file": domain(smollm2), "gone": domain(smollm2)}, **store) as server:
        assert [d["id"] for d in command(tmp_path, store, "domains", "list", "--json")] == ["file", "gone"]
        assert server.client.post("/v1/domains", json={"id": "mine", "config": mine}).status_code == 201
        assert server.client.delete("/v1/domains/gone").status_code == 200
        listed = command(tmp_path, store, "domains", "list", "--json")
        assert [(d["id"], d["version"]) for d in listed] == [("file", 0), ("mine", 1)]
        assert command(tmp_path, store, "domains", "explain", "a zebra", "--json")["domain"] == "mine"
    assert command(tmp_path, store, "domains", "check", "--json")["domains"] == 2
    assert "mine" in [entry["id"] for entry in command(tmp_path, store, "list", "--json")]


def test_commands_make_nothing_and_say_when_the_store_is_down(tmp_path, smollm2, postgres):
    config = tmp_path / "domains.json"
    config.write_text(json.dumps({"domains": {"file": domain(smollm2)}}))
    postgres.sql("DROP TABLE IF EXISTS localai_domain_changes, localai_schema")
    dsn = {"POSTGRES_DSN": postgres.dsn}
    assert [d["id"] for d in command(tmp_path, dsn, "domains", "list", "--json")] == ["file"]
    assert postgres.sql("SELECT to_regclass('localai_schema') IS NULL") == "t"
    nowhere = {"POSTGRES_DSN": f"host={tmp_path} user=localai dbname=postgres"}
    assert "domain store PostgreSQL" in command(tmp_path, nowhere, "domains", "list", status=7)
    (tmp_path / "domains.db").write_text("not a database, but long enough to look like one" * 100)
    assert "domains.db: file is not a database" in command(tmp_path, {}, "domains", "list", status=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["domains.db", "domains.json"]


def test_the_file_is_private_and_made_at_the_first_change(tmp_path, smollm2):
    with serving(tmp_path, {"file": domain(smollm2)}) as server:
        assert server.client.get("/v1/domain-audit").json()["data"] == []
        assert not (tmp_path / "domains.db").exists()
        assert server.client.delete("/v1/domains/file").status_code == 200
        assert (tmp_path / "domains.db").stat().st_mode & 0o777 == 0o600
        database = sqlite3.connect(tmp_path / "domains.db")
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()


def test_a_changed_config_file_is_read_again(tmp_path, smollm2):
    with serving(tmp_path, {"one": domain(smollm2)}, "one") as server:
        server.write({"two": domain(smollm2)}, "two")
        wait_for(lambda: ids(server) == ["two"], server)
        replacement = tmp_path / "replacement"  # as editors do
        replacement.write_text(json.dumps({"domains": {"three": domain(smollm2)}}))
        replacement.rename(server.config)
        wait_for(lambda: ids(server) == ["three"], server)
        server.config.write_text('{"domains": ')
        wait_for(lambda: server.events() and server.events()[-1]["type"] == "config_refused", server)
        event = server.events()[-1]
        assert "line 1" in event["reason"] and event["path"] == str(server.config)
        assert "the config stays as it is" in server.log.read_text()
        assert ids(server) == ["three"] and server.text("three")
        server.config.unlink()
        server.write({"four": domain(smollm2)}, "four")
        wait_for(lambda: ids(server) == ["four"], server)
        assert server.events()[-1]["type"] == "config_applied"
        assert server.client.delete("/v1/domains/four").status_code == 200
        server.write({"four": domain(smollm2), "five": domain(smollm2)}, "four")
        wait_for(lambda: ids(server) == ["five"], server)


def test_a_linked_config_file_is_watched_and_watching_can_be_turned_off(tmp_path, smollm2):
    for name, content in (("first", "one"), ("second", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "real.json").write_text(json.dumps({"domains": {content: domain(smollm2)}}))
    for watch in ("1", "0"):
        folder = tmp_path / f"watch-{watch}"
        folder.mkdir()
        with serving(folder, {}, DOMAIN_CONFIG_WATCH=watch) as server:
            link = folder / "link"
            link.symlink_to(tmp_path / "first" / "real.json")
            link.rename(server.config)
            if watch == "0":
                server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: ids(server) == ["one"], server)
            link.symlink_to(tmp_path / "second" / "real.json")
            link.rename(server.config)
            if watch == "1":
                wait_for(lambda: ids(server) == ["two"], server)
            else:
                threading.Event().wait(1.0)  # five times the quiet time after which a watcher looks
                assert ids(server) == ["one"]

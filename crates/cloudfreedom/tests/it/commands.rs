use std::io::Write as _;
use std::process::Stdio;

use cf_db::Location;
use cf_http::HttpClient;
use serde_json::json;

use crate::process::{Server, call, program, run, said};

#[test]
fn the_commands_that_others_rely_on_exist() {
    let help = program(&["--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout);
    for command in [
        "serve",
        "superuser",
        "admin",
        "key",
        "billing-key",
        "ledger",
        "migrate",
        "doctor",
    ] {
        assert!(help.contains(command), "{command}: {help}");
    }
    for option in [
        "--listen",
        "--data-dir",
        "--base-domain",
        "--database-url",
        "--roles",
        "--config",
        "--demo",
    ] {
        assert!(help.contains(option), "{option}: {help}");
    }
}

#[test]
fn people_and_keys_are_made_from_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let ok = |arguments: &[&str]| {
        let output = run(dir, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let fails = |arguments: &[&str]| {
        let output = run(dir, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        said(&output)
    };
    ok(&["superuser", "upsert", "root@example.com", "first password"]);
    ok(&["superuser", "upsert", "root@example.com", "second password"]);
    let admin = [
        "admin",
        "create",
        "--email",
        "a@example.com",
        "--password",
        "some password",
    ];
    ok(&admin);
    // Out of the sight of the process list.
    let piped = |arguments: &[&str], input: &str| {
        let mut command = program(arguments);
        command.arg("--data-dir").arg(dir);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who needs no input may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    for arguments in [
        &["superuser", "upsert", "pipe@example.com", "-"][..],
        &[
            "admin",
            "create",
            "--email",
            "pipe@example.com",
            "--password",
            "-",
        ],
    ] {
        let short = piped(arguments, "short\n");
        assert!(said(&short).contains("8 character"), "{}", said(&short));
        let made = piped(arguments, "some password\n");
        assert!(made.status.success(), "{}", said(&made));
        // Without a terminal nobody can be asked.
        let asked = piped(
            &arguments[..arguments.len() - 1 - usize::from(arguments[0] == "admin")],
            "",
        );
        assert_eq!(asked.status.code(), Some(1));
        assert!(said(&asked).contains("give `-`"), "{}", said(&asked));
    }
    let again = fails(&admin);
    assert!(again.contains("unique"), "{again}");
    let short = fails(&[
        "admin",
        "create",
        "--email",
        "b@example.com",
        "--password",
        "short",
    ]);
    assert!(short.contains("8 character"), "{short}");
    let nobody = fails(&["key", "create", "--user", "nobody@example.com"]);
    assert!(nobody.contains("nobody@example.com"), "{nobody}");
    let key = ok(&["key", "create", "--user", "a@example.com", "--name", "cli"]);
    assert!(key.trim_end().lines().last().unwrap().starts_with("sk-"));
    let billing = ok(&["billing-key", "create", "--name", "gateway"]);
    assert!(billing.starts_with("cfb-"), "{billing}");
    ok(&["migrate"]);
    assert_eq!(ok(&["ledger", "verify"]).trim(), "The ledger is clean.");
    // The placeholder rate is a problem that doctor names.
    let doctor = run(dir, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        found.contains("exchange rate") && found.contains("no active model"),
        "{found}"
    );
}

#[tokio::test]
async fn a_key_made_beside_a_running_server_works_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    let mut server = Server::start(folder.path(), &location, &["--demo"]);
    let made = run(
        folder.path(),
        &["key", "create", "--user", "user@example.com"],
    );
    assert!(made.status.success(), "{}", said(&made));
    let key = String::from_utf8(made.stdout).unwrap();
    let bearer = format!("Bearer {}", key.trim());
    let client = HttpClient::new(true);
    let url = format!("{}/v1/models", server.url);
    let header = ("authorization", bearer.as_str());
    let models = call(&client, "GET", &url, header, &json!({}))
        .await
        .unwrap();
    assert_eq!(models.status, 200);
    assert_eq!(models.json()["data"][0]["id"], "demo");
    assert_eq!(server.stop(), Some(0), "SIGTERM ends it with exit code 0");
    // A provider key that was refused is a problem that doctor names.
    let db = cf_db::Db::open(&location).await.unwrap();
    let refused = "update provider_keys set trouble = 'credentials', trouble_since = '2026-01-02'";
    db.execute(refused, vec![]).await.unwrap();
    drop(db);
    let doctor = run(folder.path(), &["doctor"]);
    let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let sentence = "refuses provider key \"Demo provider\" (credentials, since 2026-01-02)";
    assert!(found.contains(sentence), "{found}");
}

#[tokio::test]
async fn without_an_administrator_a_set_up_link_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    let server = Server::start(folder.path(), &location, &[]);
    // The link comes right after "listening".
    let client = HttpClient::new(true);
    let url = format!("{}/api/info", server.url);
    for _ in 0..50 {
        let info = call(&client, "GET", &url, ("x-none", ""), &json!({}))
            .await
            .unwrap()
            .json();
        if info["setup_required"] == true {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("no set-up link: {}", server.said);
}

#[test]
fn a_price_list_is_shown_and_taken_from_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let list = dir.join("list.json");
    let text = r#"{"models": [{"id": "gpt-5", "provider": "openai",
        "prices": {"input": "0.000002", "output": "0.00001"}}]}"#;
    std::fs::write(&list, text).unwrap();
    let list = list.to_str().unwrap();
    let import = |arguments: &[&str]| {
        let output = run(dir, &[&["prices", "import"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        (
            String::from_utf8(output.stdout.clone()).unwrap(),
            said(&output),
        )
    };
    let (_, same) = import(&[]);
    assert!(same.contains("changes nothing"), "{same}");
    let (shown, nothing) = import(&[list]);
    assert!(
        shown.contains("~ openai/gpt-5") && shown.contains("input 0.00000125 -> 0.000002"),
        "{shown}"
    );
    assert!(nothing.contains("Nothing was taken"), "{nothing}");
    let (_, taken) = import(&[list, "--yes"]);
    assert!(taken.contains("Taken"), "{taken}");
    let (_, same) = import(&[list]);
    assert!(same.contains("changes nothing"), "{same}");
    let old = run(
        dir,
        &["prices", "import", list, "--effective", "2020-01-01"],
    );
    assert!(said(&old).contains("effective is a date"), "{}", said(&old));
}

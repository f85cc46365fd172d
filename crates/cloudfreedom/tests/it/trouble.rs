//! What the program says when it cannot work: one sentence, exit code 1.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use cf_db::Location;

use crate::process::{Server, program, run, said};

fn serve(data_dir: &Path, more: &[&str]) -> Output {
    program(&["serve", "--listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data_dir)
        .args(more)
        .output()
        .unwrap()
}

#[track_caller]
fn assert_says(output: &Output, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.trim_end().lines().last().unwrap();
    assert!(last.starts_with("cloudfreedom: "), "{said}");
    for word in words {
        assert!(last.contains(word), "\"{word}\" is missing: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn an_unknown_setting_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cloudfreedom.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nlisten_adress = \"x\"\n").unwrap();
    let output = serve(folder.path(), &["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("listen_adress"), "{}", said(&output));
    let missing = serve(folder.path(), &["--config", "/no/such/file.toml"]);
    assert_says(&missing, &["/no/such/file.toml"]);
    let output = serve(folder.path(), &["--no-such-option"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("--no-such-option"));
}

#[test]
fn a_port_in_use_is_said_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(folder.path(), &["serve", "--listen", &address]);
    assert_says(&output, &["in use", "--listen"]);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_says(&serve(&file, &[]), &[file.to_str().unwrap()]);
    // Not even root can write there.
    assert_says(
        &serve(Path::new("/proc/cloudfreedom"), &[]),
        &["/proc/cloudfreedom"],
    );
}

#[test]
fn a_broken_database_is_said_to_be_broken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("data.db"),
        "this is no database at all".repeat(400),
    )
    .unwrap();
    assert_says(&serve(folder.path(), &[]), &["data.db", "broken", "backup"]);
}

#[test]
fn a_database_server_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgres://nobody:secretpassword@127.0.0.1:9/none";
    let output = serve(folder.path(), &["--database-url", url]);
    assert_says(&output, &["PostgreSQL", "database_url"]);
    assert!(!said(&output).contains("secretpassword"));
}

#[test]
fn a_second_server_and_a_wrong_master_key_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("data.db"));
    let server = Server::start(folder.path(), &location, &[]);
    assert_says(&serve(folder.path(), &[]), &["another server"]);
    drop(server);
    std::fs::write(folder.path().join("master.key"), "0".repeat(64)).unwrap();
    assert_says(&serve(folder.path(), &[]), &["master key"]);
    std::fs::write(folder.path().join("master.key"), "nonsense").unwrap();
    assert_says(&serve(folder.path(), &[]), &["master.key", "64"]);
}

#[test]
fn other_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_says(&serve(folder.path(), &["--roles", "kitchen"]), &["kitchen"]);
    assert_says(
        &serve(folder.path(), &["--redis-url", "redis://x"]),
        &["redis_url"],
    );
    assert_says(
        &serve(folder.path(), &["--master-key", "short"]),
        &["64 hexadecimal"],
    );
}

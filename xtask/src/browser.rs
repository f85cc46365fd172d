//! The browser test's harness: an empty server that waits to be set up, a model, and Chromium.

use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::clients::start_model;
use crate::scratch::Scratch;
use crate::server::{Options, Server};
use crate::services::chromium;
use crate::services::model;
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{http, node, process, wait};

const LIMIT: Duration = Duration::from_secs(600);

pub fn run(workspace: &Workspace) -> (Tally, Result<()>) {
    let mut tally = Tally::default();
    let result = walk(workspace, &mut tally);
    (tally, result)
}

fn walk(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let tests = workspace.root.join("tests/browser");
    node::install_packages(workspace, &tests)?;
    let chromium = chromium::find_or_install(workspace)?;
    let screenshots = workspace.target.join("screenshots");
    // Pictures of an earlier failure would be misleading.
    if screenshots.exists() {
        std::fs::remove_dir_all(&screenshots)?;
    }
    std::fs::create_dir_all(&screenshots)?;

    let data = Scratch::new("browser")?;
    let data_dir = data.path().join("cf_data");
    let options = Options {
        port: http::free_port()?,
        data_dir: &data_dir,
        demo: false,
        log: Some("server-browser"),
    };
    let server = Server::start(workspace, &options)?;
    let log = workspace.log_file("server-browser")?;
    let setup_url = wait::until(
        workspace,
        "the set-up address in the server's log",
        Duration::from_secs(10),
        || Ok(find_setup_url(&std::fs::read_to_string(&log)?)),
    )?;
    let local_model = start_model(workspace)?;

    let mut command = node::node()?;
    command
        .args(["--test", "--test-reporter=spec", "test_walk.mjs"])
        .current_dir(&tests)
        .env("CF_URL", server.url())
        .env("CF_PORT", server.address.port().to_string())
        .env("CF_SETUP_URL", setup_url)
        .env("CF_CHROMIUM", chromium)
        .env("CF_SCREENSHOTS", screenshots)
        .env(
            "CF_MODEL",
            if local_model.is_some() {
                model::NAME
            } else {
                "demo"
            },
        )
        .env(
            "CF_MODEL_URL",
            local_model
                .as_ref()
                .map(|model| model.base_url())
                .unwrap_or_default(),
        );
    let (counted, result) = process::run_tests(workspace, &mut command, LIMIT);
    tally.add(counted);
    result.map_err(|error| anyhow!("{error:#}{}", server.log_tail()))
}

/// The address inside a log line such as `… http://127.0.0.1:8080/setup?token=…`.
fn find_setup_url(log: &str) -> Option<String> {
    let word = log.split(|c: char| c.is_whitespace() || "\"'<>\\".contains(c));
    word.filter_map(|word| word.find("http").map(|start| &word[start..]))
        .find(|word| word.contains("/setup?token="))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_up_address_is_found_in_text_and_in_json_logs() {
        let url = "http://127.0.0.1:8080/setup?token=abc-123_X";
        assert_eq!(
            find_setup_url(&format!("INFO started\nset up at {url}\n")).as_deref(),
            Some(url)
        );
        assert_eq!(
            find_setup_url(&format!(
                "{{\"message\":\"open {url}\",\"level\":\"info\"}}"
            ))
            .as_deref(),
            Some(url)
        );
        assert_eq!(find_setup_url("http://127.0.0.1:8080/ is served"), None);
    }
}

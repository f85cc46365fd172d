//! The browser for the browser test: the system's own Chromium, Debian's if there is none.

use std::path::PathBuf;

use anyhow::Result;

use super::apt;
use crate::workspace::Workspace;

const NAMES: &[&str] = &[
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
];

pub fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    apt::require_program(workspace, NAMES, "chromium")
}

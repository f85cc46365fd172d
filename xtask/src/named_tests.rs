//! Checks that the tests exist which the documentation says watch over something, and that every trap of the
//! providers has one with its number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tally::Tally;
use crate::workspace::Workspace;

const PROMISES: &str = "docs/promises.md";
const TRAPS: &str = "docs/traps.md";
/// Traps are numbered from one to this.
const LAST_TRAP: usize = 38;

/// What a crate has: its tests, and the files with its code.
#[derive(Default)]
struct Named {
    tests: BTreeSet<String>,
    files: BTreeSet<String>,
}

pub fn check(workspace: &Workspace) -> (Tally, Result<()>) {
    let mut tally = Tally::default();
    let result = check_all(&workspace.root, &mut tally);
    (tally, result)
}

fn check_all(root: &Path, tally: &mut Tally) -> Result<()> {
    let crates = crates(&root.join("crates"))?;
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"))
    };
    let (promises, traps) = (read(PROMISES)?, read(TRAPS)?);
    let mut problems = Vec::new();
    for (document, text) in [(PROMISES, &promises), (TRAPS, &traps)] {
        for row in rows(text) {
            for name in names(row.last().copied().unwrap_or_default()) {
                match missing(&crates, &name) {
                    None => tally.passed += 1,
                    Some(what) => problems.push(format!("{document}: {what}")),
                }
            }
        }
    }
    problems.extend(untested_traps(&traps));
    tally.failed += u64::try_from(problems.len())?;
    if !problems.is_empty() {
        bail!(
            "the documentation and the tests differ:\n  {}",
            problems.join("\n  ")
        );
    }
    println!(
        "{} tests named in the documentation exist, of all {LAST_TRAP} traps",
        tally.passed
    );
    Ok(())
}

/// The cells of a table's rows, without those of its head.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
    });
    rows.skip_while(|row| !row.iter().all(|cell| cell.starts_with("---")))
        .skip(1)
}

/// A test or a file, and the crate that it is said to be in.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    in_crate: String,
    name: String,
}

/// What stands between backticks and is the name of a test or a file, after that of its crate.
fn names(cell: &str) -> Vec<Name> {
    let mut in_crate = String::new();
    let mut found = Vec::new();
    for word in cell.split('`').skip(1).step_by(2) {
        let is_name = |word: &str| {
            word.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if word == "cloudfreedom" || word.starts_with("cf-") {
            in_crate = word.to_owned();
        } else if is_name(word.strip_suffix(".rs").unwrap_or(word)) {
            found.push(Name {
                in_crate: in_crate.clone(),
                name: word.to_owned(),
            });
        }
    }
    found
}

/// What is not there of a name.
fn missing(crates: &BTreeMap<String, Named>, Name { in_crate, name }: &Name) -> Option<String> {
    let Some(named) = crates.get(in_crate) else {
        return Some(format!("`{name}`: there is no crate `{in_crate}`"));
    };
    let is_there = named.tests.contains(name) || named.files.contains(name);
    (!is_there).then(|| format!("`{in_crate}` has no `{name}`"))
}

/// Traps that are not in the table in their turn, or have no test with their number in its name.
fn untested_traps(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut next = 1;
    for row in rows(text) {
        let number = row.first().copied().unwrap_or_default();
        if number != next.to_string() {
            problems.push(format!(
                "{TRAPS}: trap {number} stands where trap {next} should"
            ));
        }
        let tests = names(row.last().copied().unwrap_or_default());
        if !tests
            .iter()
            .any(|test| numbers(&test.name).contains(&number))
        {
            problems.push(format!(
                "{TRAPS}: trap {number} has no test with its number"
            ));
        }
        next += 1;
    }
    if next != LAST_TRAP + 1 {
        problems.push(format!(
            "{TRAPS}: it ends with trap {} instead of {LAST_TRAP}",
            next - 1
        ));
    }
    problems
}

/// The numbers in `trap_6_and_25_a_wait…`.
fn numbers(test: &str) -> Vec<&str> {
    let Some(rest) = test.strip_prefix("trap_") else {
        return Vec::new();
    };
    let is_number = |word: &&str| word.bytes().all(|b| b.is_ascii_digit());
    rest.split('_')
        .take_while(|word| *word == "and" || is_number(word))
        .filter(is_number)
        .collect()
}

fn crates(folder: &Path) -> Result<BTreeMap<String, Named>> {
    let mut crates = BTreeMap::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let entry = entry?;
        let mut named = Named::default();
        for part in ["src", "tests"] {
            read_folder(&entry.path().join(part), &mut named)?;
        }
        crates.insert(entry.file_name().to_string_lossy().into_owned(), named);
    }
    Ok(crates)
}

fn read_folder(folder: &Path, named: &mut Named) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.is_dir() {
            read_folder(&path, named)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            named
                .tests
                .extend(tests_in(&std::fs::read_to_string(&path)?));
            named
                .files
                .insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// The functions that are marked as tests.
fn tests_in(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in code.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && is_test
        {
            let name = rest
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next();
            found.extend(name.map(str::to_owned));
            is_test = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_documents_name_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut tally = Tally::default();
        check_all(&root, &mut tally).unwrap();
        assert!(tally.passed > 80, "{}", tally.passed);
    }

    #[test]
    fn names_are_read_with_their_crates() {
        let cell = "`cf-llm` `trap_1_x`, `traps.rs` (see [there](x.md)); `cf-gateway` `y_z`; `cargo xtask bench`";
        let found: Vec<(String, String)> = names(cell)
            .into_iter()
            .map(|name| (name.in_crate, name.name))
            .collect();
        let expected = [
            ("cf-llm", "trap_1_x"),
            ("cf-llm", "traps.rs"),
            ("cf-gateway", "y_z"),
        ];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(numbers("trap_6_and_25_a_wait_of_3"), ["6", "25"]);
        assert!(numbers("a_trap_6").is_empty());
    }

    #[test]
    fn tests_are_told_from_other_functions() {
        let code = "#[test]\nfn a_b() {}\nfn c() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn d_e() {}";
        assert_eq!(tests_in(code), ["a_b", "d_e"]);
    }

    #[test]
    fn a_trap_that_is_missing_is_told() {
        let table = |rows: &[(usize, &str)]| -> String {
            let rows = rows
                .iter()
                .map(|(n, test)| format!("| {n} | x | `cf-llm` `{test}` |\n"));
            format!("| | a | b |\n|---|---|---|\n{}", rows.collect::<String>())
        };
        let names: Vec<String> = (1..=LAST_TRAP).map(|n| format!("trap_{n}_x")).collect();
        let mut all: Vec<(usize, &str)> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (at + 1, &**name))
            .collect();
        assert_eq!(untested_traps(&table(&all)), Vec::<String>::new());
        all[4].1 = "trap_55_x";
        all.pop();
        assert_eq!(untested_traps(&table(&all)).len(), 2);
    }
}

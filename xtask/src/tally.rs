//! Counts of passed and failed tests, read from the closing lines of the test runners we use.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Adds what one line of output reports, if it is a closing line of a runner.
    pub fn read_line(&mut self, line: &str) {
        let line = line.trim().trim_matches('=').trim();
        // cargo test: `test result: ok. 12 passed; 0 failed; 0 ignored; …`
        if let Some(rest) = line.strip_prefix("test result: ") {
            let counts = rest.split_once(". ").map_or(rest, |(_, counts)| counts);
            self.add(counts_before_words(counts.split(';')));
        // vitest: `Tests  1 failed | 11 passed (12)`
        } else if let Some(rest) = line.strip_prefix("Tests ") {
            self.add(counts_before_words(rest.split('|')));
        // node --test: `ℹ pass 5`, in its other reporter `# pass 5`
        } else if let Some(rest) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# ")) {
            match rest.split_once(' ') {
                Some(("pass", count)) => self.passed += count.trim().parse().unwrap_or(0),
                Some(("fail", count)) => self.failed += count.trim().parse().unwrap_or(0),
                _ => {}
            }
        // pytest: `1 failed, 4 passed in 2.31s`
        } else if line.contains(" in ")
            && line.ends_with(['s', ')'])
            && line.starts_with(|c: char| c.is_ascii_digit())
        {
            let counts = line.split(" in ").next().unwrap_or_default();
            self.add(counts_before_words(counts.split(',')));
        }
    }
}

fn counts_before_words<'a>(parts: impl Iterator<Item = &'a str>) -> Tally {
    let mut tally = Tally::default();
    for part in parts {
        let mut words = part.split_whitespace();
        let (Some(count), Some(word)) = (words.next(), words.next()) else {
            continue;
        };
        let Ok(count) = count.parse::<u64>() else {
            continue;
        };
        match word {
            "passed" => tally.passed += count,
            "failed" | "error" | "errors" => tally.failed += count,
            _ => {}
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (u64, u64) {
        let mut tally = Tally::default();
        for line in lines {
            tally.read_line(line);
        }
        (tally.passed, tally.failed)
    }

    #[test]
    fn closing_lines_of_every_runner_are_counted() {
        assert_eq!(
            read(&[
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s"
            ]),
            (12, 0)
        );
        assert_eq!(
            read(&[
                "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out"
            ]),
            (3, 2)
        );
        assert_eq!(
            read(&[
                "      Tests  1 failed | 11 passed (12)",
                " Test Files  3 passed (3)"
            ]),
            (11, 1)
        );
        assert_eq!(read(&["ℹ tests 6", "ℹ pass 5", "ℹ fail 1"]), (5, 1));
        assert_eq!(read(&["# pass 5", "# fail 0"]), (5, 0));
        assert_eq!(
            read(&["======== 1 failed, 4 passed in 2.31s ========"]),
            (4, 1)
        );
        assert_eq!(read(&["5 passed, 1 warning in 61.00s (0:01:01)"]), (5, 0));
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            read(&[
                "test ledger::holds ... ok",
                "3 files changed in 2 folders",
                "# subtest: pass 5",
                ""
            ]),
            (0, 0)
        );
    }
}

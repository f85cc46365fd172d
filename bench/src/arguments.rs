//! `--name value` pairs, which is all that two small programs need of a command line.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

pub struct Arguments {
    pairs: Vec<(String, String)>,
}

impl Arguments {
    /// An unknown name is an error, so that a misspelt option does not measure something else.
    pub fn read(known: &[&str]) -> Result<Self> {
        let mut pairs = Vec::new();
        let mut rest = std::env::args().skip(1);
        while let Some(word) = rest.next() {
            let name = word.strip_prefix("--").filter(|name| known.contains(name));
            let Some(name) = name else {
                bail!("unknown argument `{word}`; known: --{}", known.join(", --"))
            };
            let value = rest
                .next()
                .with_context(|| format!("`--{name}` needs a value"))?;
            pairs.push((name.to_owned(), value));
        }
        Ok(Self { pairs })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rfind(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn required(&self, name: &str) -> Result<&str> {
        self.text(name)
            .with_context(|| format!("`--{name}` is missing"))
    }

    pub fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .with_context(|| format!("`--{name} {text}` is no number")),
        }
    }
}

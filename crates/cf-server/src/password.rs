//! Where a command gets a password from.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use cf_base::Secret;

/// Longest line that is read; no password may be longer.
const LONGEST: u64 = 1_024;

/// A password of a command. On the command line everybody on the machine can
/// read it in the list of processes, and the shell remembers it.
pub enum Password {
    /// On the command line.
    Given(Secret),
    /// A line of standard input.
    StandardInput,
    /// Asked for at the terminal.
    Prompt,
}

impl Password {
    /// What stands on the command line: the password, `-`, or nothing.
    pub fn given(argument: Option<String>) -> Self {
        match argument {
            None => Self::Prompt,
            Some(argument) if argument == "-" => Self::StandardInput,
            Some(argument) => Self::Given(Secret::new(argument)),
        }
    }

    /// The password itself; a sentence if there is none to be had.
    pub fn read(self, prompt: &str) -> Result<Secret, String> {
        let text = match self {
            Self::Given(password) => return Ok(password),
            Self::Prompt if std::io::stdin().is_terminal() => rpassword::prompt_password(prompt),
            Self::Prompt => {
                return Err(
                    "there is no password, and no terminal to ask for it; give `-` to read it \
                     from standard input"
                        .to_owned(),
                );
            }
            Self::StandardInput => {
                let mut line = String::new();
                let mut input = std::io::stdin().lock().take(LONGEST);
                input.read_line(&mut line).map(|_| line)
            }
        };
        let text = text.map_err(|error| format!("the password cannot be read: {error}"))?;
        // A line ends with what the shell or the terminal put there.
        Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
    }
}

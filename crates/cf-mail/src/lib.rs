//! What people are written to: letters in German and English, each one function,
//! and the way to the mail server.
//!
//! No database and no queue: a letter is written where its cause is, waits in
//! the outbox, and is handed to [`Mailer`] by the job that empties it.

mod letter;
mod letters;
mod locale;
mod smtp;

pub use letter::{Content, Letter};
pub use letters::{
    BudgetNotice, BudgetOf, KeyNotice, KeyTrouble, budget_notice, key_notice, try_out,
};
pub use locale::Locale;
pub use smtp::{MailError, Mailer, Security, SmtpSettings, is_loopback};

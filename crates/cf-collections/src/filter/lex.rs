//! Text to tokens.

use super::FilterError;

/// Longest filter, in bytes.
pub(super) const MAX_BYTES: usize = 3_500;

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    Compare(Compare),
    /// `a.b.c:modifier`, `@now`, `true`.
    Word(String),
    Text(String),
    /// The digits as they were typed.
    Number(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Like,
    NotLike,
}

/// Longest first, so that `>=` is not read as `>`.
const OPERATORS: &[(&str, Compare)] = &[
    ("!=", Compare::NotEqual),
    ("!~", Compare::NotLike),
    (">=", Compare::GreaterOrEqual),
    ("<=", Compare::LessOrEqual),
    ("=", Compare::Equal),
    (">", Compare::Greater),
    ("<", Compare::Less),
    ("~", Compare::Like),
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    if text.len() > MAX_BYTES {
        return Err(FilterError::invalid("the filter is too long"));
    }
    // PostgreSQL cannot hold it in a text, so it equals nothing anywhere.
    if text.contains('\0') {
        return Err(FilterError::invalid("the filter contains a zero byte"));
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
            continue;
        }
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '&' if rest.starts_with("&&") => (Token::And, 2),
            '|' if rest.starts_with("||") => (Token::Or, 2),
            '"' | '\'' => quoted(rest, first)?,
            '-' | '0'..='9' => number(rest)?,
            c if c.is_ascii_alphabetic() || matches!(c, '_' | '@' | '#') => word(rest)?,
            _ => operator(rest)?,
        };
        tokens.push(token);
        rest = &rest[length..];
    }
}

fn operator(rest: &str) -> Result<(Token, usize), FilterError> {
    // `?=` asks for any value of many; every path here has one, so it is `=`.
    let (plain, any) = match rest.strip_prefix('?') {
        Some(plain) => (plain, 1),
        None => (rest, 0),
    };
    OPERATORS
        .iter()
        .find(|(sign, _)| plain.starts_with(sign))
        .map(|(sign, compare)| (Token::Compare(*compare), sign.len() + any))
        .ok_or_else(|| FilterError::invalid("unexpected character"))
}

/// A text in quotes: a backslash before the same quote keeps it, other
/// backslashes stand for themselves.
fn quoted(rest: &str, quote: char) -> Result<(Token, usize), FilterError> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Ok((Token::Text(text), at + 1));
        }
        if c == '\\' && characters.peek().is_some_and(|(_, next)| *next == quote) {
            text.push(quote);
            characters.next();
            continue;
        }
        text.push(c);
    }
    Err(FilterError::invalid("a quote is not closed"))
}

fn number(rest: &str) -> Result<(Token, usize), FilterError> {
    let end = rest
        .char_indices()
        .skip(1)
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')))
        .map_or(rest.len(), |(at, _)| at);
    let text = &rest[..end];
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if all_digits(whole) && all_digits(part) {
        Ok((Token::Number(text.to_owned()), end))
    } else {
        Err(FilterError::invalid("not a number"))
    }
}

fn word(rest: &str) -> Result<(Token, usize), FilterError> {
    let end = rest
        .char_indices()
        .skip(1)
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':')))
        .map_or(rest.len(), |(at, _)| at);
    let text = &rest[..end];
    let name = text.strip_prefix(['@', '#']).unwrap_or(text);
    if name.is_empty()
        || name.ends_with(['.', ':'])
        || name.contains("..")
        || name.matches(':').count() > 1
    {
        return Err(FilterError::invalid("not an identifier"));
    }
    Ok((Token::Word(text.to_owned()), end))
}

//! Tokens to a tree.

use super::FilterError;
use super::lex::{Compare, Token, tokens};

/// Most comparisons in one filter.
const MAX_COMPARISONS: usize = 200;
/// Deepest nesting of parentheses.
const MAX_NESTING: usize = 50;

/// A condition.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Expr {
    /// All of them.
    All(Vec<Expr>),
    /// Any of them.
    Any(Vec<Expr>),
    /// A comparison.
    Compare(Operand, Compare, Operand),
}

/// One side of a comparison.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Operand {
    /// A field, or a path through relations.
    Path {
        /// `tenant_id.slug` as its parts; `@request` paths begin with it.
        parts: Vec<String>,
        /// What stands behind the colon.
        modifier: Option<String>,
    },
    /// A text.
    Text(String),
    /// A number, as typed.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// `@now` and the like, without the `@`.
    Macro(String),
}

/// Reads a filter; `None` if there is nothing in it but spaces and comments.
pub(crate) fn parse(text: &str) -> Result<Option<Expr>, FilterError> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        comparisons: 0,
    };
    let expr = parser.any(0)?;
    match parser.tokens.next() {
        None => Ok(Some(expr)),
        Some(_) => Err(FilterError::invalid("something follows the filter's end")),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    comparisons: usize,
}

impl Parser {
    fn any(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut terms = vec![self.all(depth)?];
        while self.tokens.next_if_eq(&Token::Or).is_some() {
            terms.push(self.all(depth)?);
        }
        Ok(single(terms, Expr::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut terms = vec![self.term(depth)?];
        while self.tokens.next_if_eq(&Token::And).is_some() {
            terms.push(self.term(depth)?);
        }
        Ok(single(terms, Expr::All))
    }

    fn term(&mut self, depth: usize) -> Result<Expr, FilterError> {
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            if depth == MAX_NESTING {
                return Err(FilterError::invalid("too many parentheses"));
            }
            let expr = self.any(depth + 1)?;
            if self.tokens.next_if_eq(&Token::Close).is_none() {
                return Err(FilterError::invalid("a parenthesis is not closed"));
            }
            return Ok(expr);
        }
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err(FilterError::invalid("too many comparisons"));
        }
        let left = self.operand()?;
        let Some(Token::Compare(compare)) = self.tokens.next() else {
            return Err(FilterError::invalid("a comparison is missing"));
        };
        let right = self.operand()?;
        Ok(Expr::Compare(left, compare, right))
    }

    fn operand(&mut self) -> Result<Operand, FilterError> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(Operand::Text(text)),
            Some(Token::Number(text)) => Ok(Operand::Number(text)),
            Some(Token::Word(word)) => Ok(named(&word)),
            _ => Err(FilterError::invalid("a value is missing")),
        }
    }
}

fn single(mut terms: Vec<Expr>, many: impl FnOnce(Vec<Expr>) -> Expr) -> Expr {
    match (terms.len(), terms.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            terms.push(last);
            many(terms)
        }
        (_, None) => many(terms),
    }
}

fn named(word: &str) -> Operand {
    if word.eq_ignore_ascii_case("null") {
        return Operand::Null;
    }
    if word.eq_ignore_ascii_case("true") {
        return Operand::Bool(true);
    }
    if word.eq_ignore_ascii_case("false") {
        return Operand::Bool(false);
    }
    if let Some(name) = word.strip_prefix('@')
        && !name.contains('.')
    {
        return Operand::Macro(name.to_owned());
    }
    let (path, modifier) = match word.split_once(':') {
        Some((path, modifier)) => (path, Some(modifier.to_owned())),
        None => (word, None),
    };
    Operand::Path {
        parts: path.split('.').map(str::to_owned).collect(),
        modifier,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn and_binds_tighter_than_or() {
        let parsed = parse("a=1||b=2&&c=3").unwrap().unwrap();
        let Expr::Any(terms) = parsed else {
            panic!("an or")
        };
        assert!(matches!(terms[0], Expr::Compare(..)));
        assert!(matches!(terms[1], Expr::All(_)));
    }

    #[test]
    fn comments_and_spaces_are_nothing() {
        assert_eq!(parse("  // only a remark").unwrap(), None);
        assert!(parse("a = 1 // first\n && b = 2").unwrap().is_some());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "a",
            "a =",
            "= 1",
            "a = 1 &&",
            "a = 1 b = 2",
            "(a = 1",
            "a = 1)",
            "a == 1",
            "a = .5",
            "a = 1e3",
            "a = 'x",
            "a = \"x",
            "a & b",
            "a. = 1",
            "a:: = 1",
            "a..b = 1",
            "a = 1;",
            "a = 1 -- x",
            "() = 1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn everything_has_a_limit() {
        assert!(parse(&"(".repeat(3_000)).is_err());
        assert!(parse(&format!("a = '{}'", "x".repeat(3_500))).is_err());
        let many = vec!["a=1"; 201].join("||");
        assert!(parse(&many).is_err());
        assert!(parse(&many[5..]).is_ok());
    }
}

//! Lines of CSV files that spreadsheets open: quoted by RFC 4180, and nothing in
//! them is run as a formula.

use bytes::Bytes;
use cf_base::{Error, Nanos, parse_decimal_nanos};

/// One line.
pub fn line(cells: impl Iterator<Item = String>) -> Result<Bytes, Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    writer.write_record(cells).map_err(Error::internal)?;
    let line = writer
        .into_inner()
        .map_err(|e| Error::internal(e.to_string()))?;
    Ok(line.into())
}

/// Text that others wrote. A spreadsheet takes what begins with one of these
/// signs for a formula, so that gets an apostrophe before it.
pub fn cell(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

/// A number without exponent: `0.000000012`, not `1.2e-8`.
pub fn amount(number: &serde_json::Number) -> String {
    if number.is_f64()
        && let Some(nanos) = parse_decimal_nanos(&number.to_string())
    {
        return Nanos(nanos).to_string();
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cells: &[&str]) -> String {
        let line = line(cells.iter().map(|c| cell(c))).expect("lines can be written");
        String::from_utf8(line.to_vec()).expect("text")
    }

    #[test]
    fn what_needs_quotes_has_them_and_formulas_are_text() {
        assert_eq!(text(&["a", "", "b"]), "a,,b\r\n");
        assert_eq!(
            text(&["a,b", "say \"x\"", "two\nlines"]),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\r\n"
        );
        assert_eq!(
            text(&["=1+1", "+1", "-1", "@x", "\t=1"]),
            "'=1+1,'+1,'-1,'@x,'\t=1\r\n"
        );
        assert_eq!(text(&["a=1"]), "a=1\r\n");
    }

    #[test]
    fn small_amounts_are_written_out() {
        let number = |value: f64| amount(&serde_json::Number::from_f64(value).expect("finite"));
        assert_eq!(number(1.2e-8), "0.000000012");
        assert_eq!(number(-0.5), "-0.5");
        assert_eq!(number(3.0), "3");
        assert_eq!(amount(&7.into()), "7");
    }
}

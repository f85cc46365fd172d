//! The languages that letters are written in, and how each writes amounts and days.

use cf_base::{Currency, Nanos};

/// A language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locale {
    /// German.
    De,
    /// English.
    En,
}

impl Locale {
    /// The language of a tag such as `de` or `en-GB`: German for `de`,
    /// English for every other.
    pub fn of(tag: &str) -> Self {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("de") {
            Self::De
        } else {
            Self::En
        }
    }

    /// As the tag in HTML.
    pub fn tag(self) -> &'static str {
        match self {
            Self::De => "de",
            Self::En => "en",
        }
    }

    /// The text in this language.
    pub fn choose<'a>(self, de: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::De => de,
            Self::En => en,
        }
    }

    /// An amount with two digits, rounded half up: `1.234,50 EUR`, `EUR 1,234.50`.
    pub fn amount(self, nanos: Nanos, currency: Currency) -> String {
        let cents = (i128::from(nanos.0).abs() + 5_000_000) / 10_000_000;
        let sign = if nanos.0 < 0 && cents > 0 { "-" } else { "" };
        let (group, point) = match self {
            Self::De => ('.', ','),
            Self::En => (',', '.'),
        };
        let digits = (cents / 100).to_string();
        let mut whole = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                whole.push(group);
            }
            whole.push(digit);
        }
        let amount = format!("{sign}{whole}{point}{:02}", cents % 100);
        match self {
            Self::De => format!("{amount} {currency}"),
            Self::En => format!("{currency} {amount}"),
        }
    }

    /// A day such as `2026-01-31`: `31.01.2026`, `31 January 2026`. What is no
    /// such day is left as it is.
    pub fn day(self, iso: &str) -> String {
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let parts: Vec<&str> = iso.split('-').collect();
        let [year, month, day] = parts[..] else {
            return iso.to_owned();
        };
        let name = month
            .parse::<usize>()
            .ok()
            .and_then(|m| MONTHS.get(m.checked_sub(1)?));
        match (self, name) {
            (Self::De, Some(_)) => format!("{day}.{month}.{year}"),
            (Self::En, Some(name)) => format!("{} {name} {year}", day.trim_start_matches('0')),
            (_, None) => iso.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_days_are_written_as_each_language_does() {
        let amount = Nanos(1_234_567_895_000_000);
        assert_eq!(Locale::De.amount(amount, Currency::EUR), "1.234.567,90 EUR");
        assert_eq!(Locale::En.amount(amount, Currency::EUR), "EUR 1,234,567.90");
        assert_eq!(
            Locale::De.amount(Nanos(-5_000_000), Currency::EUR),
            "-0,01 EUR"
        );
        assert_eq!(
            Locale::De.amount(Nanos(4_999_999), Currency::EUR),
            "0,00 EUR"
        );
        assert_eq!(
            Locale::De.amount(Nanos(i64::MIN), Currency::EUR),
            "-9.223.372.036,85 EUR"
        );
        assert_eq!(Locale::De.day("2026-01-09"), "09.01.2026");
        assert_eq!(Locale::En.day("2026-01-09"), "9 January 2026");
        assert_eq!(Locale::En.day("soon"), "soon");
        assert_eq!(Locale::of("de-AT"), Locale::De);
        assert_eq!(Locale::of("fr"), Locale::En);
    }
}

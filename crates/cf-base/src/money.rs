//! Money as integers: prices in micro-units per million tokens, amounts in
//! nano-units, one rounding (half up) on the way from one to the other.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub};

use serde::{Deserialize, Serialize};

/// An amount in 10⁻⁹ of a currency's unit.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The nearest number for JSON. Exact to the shown digit below 9 million
    /// units; for showing only, never for counting.
    #[allow(clippy::cast_precision_loss)] // shown, never counted
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Adds, staying at the end of the range instead of wrapping.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Nanos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Nanos {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// As a decimal number without trailing zeros: `0.0125`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let digits = self.0.unsigned_abs();
        let (whole, part) = (digits / 1_000_000_000, digits % 1_000_000_000);
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let part = format!("{part:09}");
        write!(f, "{sign}{whole}.{}", part.trim_end_matches('0'))
    }
}

/// A three-letter currency code (ISO 4217).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollars, in which providers' prices are kept.
    pub const USD: Self = Self(*b"USD");
    /// Euros, the default of products.
    pub const EUR: Self = Self(*b"EUR");

    /// Reads three capital letters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Self(bytes))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency code is ASCII by construction")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount with its currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Money {
    /// How much.
    pub nanos: Nanos,
    /// Of what.
    pub currency: Currency,
}

/// A price: micro-units (10⁻⁶ of the currency) per million tokens.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PriceMicros(pub i64);

impl PriceMicros {
    /// What `tokens` cost, exactly.
    pub fn times(self, tokens: u64) -> PicoUsd {
        PicoUsd(i128::from(self.0) * i128::from(tokens))
    }

    /// The price for one piece, of a price that is kept as micro-units each.
    pub fn each(self, pieces: u64) -> PicoUsd {
        PicoUsd(i128::from(self.0) * 1_000_000 * i128::from(pieces))
    }

    /// The price raised to `basis_points` of it, half up.
    pub fn scaled(self, basis_points: i64) -> Self {
        let exact = i128::from(self.0) * i128::from(basis_points);
        let rounded = (exact + 5_000).div_euclid(10_000);
        Self(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

/// What is put on top of a provider's price, in basis points (hundredths of a
/// percent). Below zero it is a discount, down to nothing.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Margin(i64);

impl Margin {
    /// None.
    pub const NONE: Self = Self(0);
    /// A whole, in basis points.
    const WHOLE: i128 = 10_000;

    /// The margin of so many percent; `None` below −100 or above 10,000 percent,
    /// or where there is no number.
    pub fn of_percent(percent: f64) -> Option<Self> {
        let points = (percent * 100.0).round();
        if !(-10_000.0..=1_000_000.0).contains(&points) {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked above")]
        Some(Self(points as i64))
    }

    /// In basis points.
    pub fn basis_points(self) -> i64 {
        self.0
    }

    /// A cost with the margin on it, rounded up to the next exact unit: for
    /// bounds, never for bills.
    pub fn bound(self, cost: PicoUsd) -> PicoUsd {
        let factor = Self::WHOLE + i128::from(self.0);
        let exact = cost.0.saturating_mul(factor);
        PicoUsd(
            exact
                .saturating_add(Self::WHOLE - 1)
                .div_euclid(Self::WHOLE),
        )
    }
}

/// A sum of token costs before the one rounding: exact, in 10⁻¹² US dollars.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct PicoUsd(pub i128);

impl Add for PicoUsd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for PicoUsd {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl PicoUsd {
    /// Converts and rounds half up to nano-units: the only rounding on the way
    /// from a price to a balance. Stays at the end of the range if too large.
    pub fn convert(self, rate: ExchangeRate) -> Nanos {
        self.charge(Margin::NONE, rate)
    }

    /// The same with a margin on top: margin, exchange rate, then one rounding.
    pub fn charge(self, margin: Margin, rate: ExchangeRate) -> Nanos {
        const DIVISOR: i128 = 1_000_000_000_000 * Margin::WHOLE;
        let factor = (Margin::WHOLE + i128::from(margin.0)) * i128::from(rate.0);
        let exact = self.0.saturating_mul(factor);
        let rounded = exact.saturating_add(DIVISOR / 2).div_euclid(DIVISOR);
        Nanos(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// Units of the target currency for one US dollar, in 10⁻⁹.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExchangeRate(pub i64);

impl ExchangeRate {
    /// A dollar for a dollar.
    pub const ONE: Self = Self(1_000_000_000);
}

/// Reads a decimal number (`12.5`, `-0.1`, `1e-7`) as 10⁻⁹ units, rounding
/// half away from zero past the ninth digit. `None` if it is not a number or
/// too large. Works on the text: no float between what was typed and the books.
pub fn parse_decimal_nanos(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    if !(-60..=30).contains(&exponent) || mantissa.len() > 60 {
        return None;
    }
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    // The digits that count stand left of this place, one more decides rounding.
    let places = i64::try_from(whole.len()).ok()? + i64::from(exponent) + 9;
    let mut value: i128 = 0;
    let mut round_up = false;
    let mut seen: i64 = 0;
    for byte in whole.bytes().chain(part.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        if seen < places {
            value = value
                .checked_mul(10)?
                .checked_add(i128::from(byte - b'0'))?;
        } else if seen == places {
            round_up = byte >= b'5';
        }
        seen += 1;
    }
    while seen < places {
        value = value.checked_mul(10)?;
        seen += 1;
    }
    let value = i64::try_from(value + i128::from(round_up)).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, nanos) in [
            ("100.00", 100_000_000_000),
            ("0.000001", 1_000),
            ("1e-7", 100),
            ("2.5e3", 2_500_000_000_000),
            ("-0.5", -500_000_000),
            ("0.0000000005", 1),
            ("0.00000000049", 0),
            (".5", 500_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_decimal_nanos(text), Some(nanos), "{text}");
        }
        for text in ["", ".", "x", "1.2.3", "1e99", "99999999999999"] {
            assert_eq!(parse_decimal_nanos(text), None, "{text}");
        }
    }

    #[test]
    fn a_call_costs_tokens_times_price_rounded_once() {
        // 1,000 tokens at 0.15 USD per million = 0.00015 USD; at 0.9 EUR = 0.000135 EUR.
        let cost = PriceMicros(150_000).times(1_000);
        assert_eq!(cost.convert(ExchangeRate::ONE), Nanos(150_000));
        assert_eq!(cost.convert(ExchangeRate(900_000_000)), Nanos(135_000));
        // Half a nano rounds up.
        assert_eq!(
            PriceMicros(500).times(1).convert(ExchangeRate::ONE),
            Nanos(1)
        );
        assert_eq!(
            PriceMicros(499).times(1).convert(ExchangeRate::ONE),
            Nanos(0)
        );
    }

    #[test]
    fn a_margin_is_put_on_before_the_one_rounding() {
        let margin = Margin::of_percent(12.5).expect("a margin");
        assert_eq!(margin.basis_points(), 1_250);
        // 444 pico-dollars: 0.444 nanos, with 12.5 % on top 0.4995: none.
        let cost = PicoUsd(444);
        assert_eq!(cost.charge(margin, ExchangeRate::ONE), Nanos(0));
        // 445 are 0.500625: one. Rounded to whole pico-dollars first it were so too.
        assert_eq!(PicoUsd(445).charge(margin, ExchangeRate::ONE), Nanos(1));
        // 4,444 at a rate of 0.1 are 0.49995: none, though 4,999.5 rounds to 5,000.
        let tenth = ExchangeRate(100_000_000);
        assert_eq!(PicoUsd(4_444).charge(margin, tenth), Nanos(0));
        assert_eq!(margin.bound(PicoUsd(4_444)), PicoUsd(5_000));
        assert_eq!(Margin::of_percent(-100.0).expect("free").bound(cost).0, 0);
        for wrong in [-100.1, 10_001.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Margin::of_percent(wrong), None, "{wrong}");
        }
        assert_eq!(PriceMicros(75_000).scaled(11_000), PriceMicros(82_500));
    }

    proptest! {
        #[test]
        fn amounts_survive_being_written_and_read(nanos in -9_000_000_000_000_000i64..9_000_000_000_000_000) {
            prop_assert_eq!(parse_decimal_nanos(&Nanos(nanos).to_string()), Some(nanos));
        }

        #[test]
        fn json_numbers_carry_amounts_exactly(nanos in -1_000_000_000_000_000i64..1_000_000_000_000_000) {
            let shown = serde_json::to_string(&Nanos(nanos).to_f64()).expect("a number");
            prop_assert_eq!(parse_decimal_nanos(&shown), Some(nanos));
        }
    }
}

//! The prices that a call was billed by, addressed by their content.

use std::sync::Arc;

use cf_base::{ExchangeRate, Id, Margin, Nanos, PicoUsd, ServiceTier, Usage, Work};
use serde::{Deserialize, Serialize};

use super::{Most, OwnPrices, Prices};

/// Prices that a call is billed by. The id is made of the content: the same
/// prices are the same version, changed prices are another, and past bills can
/// be worked out again.
#[derive(Clone, Debug)]
pub struct PriceVersion {
    /// Id in `price_versions`.
    pub id: Id,
    /// The provider.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// `book` or `own`.
    pub source: &'static str,
    /// What the provider takes.
    pub prices: Prices,
    /// What the customer pays for it.
    pub charge: Charge,
    /// Output tokens the model gives at most, where the price book knows.
    pub max_output_tokens: Option<u64>,
    /// Input tokens the model takes at most, where the price book knows.
    pub max_input_tokens: Option<u64>,
}

/// What a customer pays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// The provider's cost with a margin on top.
    Margin(Margin),
    /// Prices of the customer's own, whatever the provider takes.
    Prices(Arc<Prices>),
    /// Of an answer that is given again: a part of what it would cost else.
    Share {
        /// What it would cost.
        of: Box<Charge>,
        /// How much of that; 100 at most.
        percent: u32,
    },
}

impl Charge {
    /// The provider's cost as it is.
    pub const NONE: Self = Self::Margin(Margin::NONE);

    /// A call's price in a currency: exact until the one rounding.
    pub(crate) fn of(&self, provider: &Prices, usage: &Usage, rate: ExchangeRate) -> Nanos {
        match self {
            Self::Margin(margin) => provider.cost(usage).charge(*margin, rate),
            Self::Prices(own) => own.cost(usage).convert(rate),
            Self::Share { of, percent } => {
                let whole = i128::from(of.of(provider, usage, rate).0);
                let share = (whole * i128::from(*percent) + 50).div_euclid(100);
                Nanos(i64::try_from(share).unwrap_or(i64::MAX))
            }
        }
    }

    /// What is worked out of the provider's prices, or of the customer's own. Of a
    /// share it is the whole: it is asked for bounds.
    fn most(&self, provider: &Prices, of: impl Fn(&Prices) -> PicoUsd) -> PicoUsd {
        match self {
            Self::Margin(margin) => margin.bound(of(provider)),
            Self::Prices(own) => of(own),
            Self::Share { of: whole, .. } => whole.most(provider, of),
        }
    }

    /// The customer's own prices, where there are such.
    fn own(&self) -> Option<&Prices> {
        match self {
            Self::Margin(_) => None,
            Self::Prices(own) => Some(own),
            Self::Share { of, .. } => of.own(),
        }
    }
}

impl PriceVersion {
    /// What the provider takes for `usage`, exactly.
    pub fn provider_cost(&self, usage: &Usage) -> PicoUsd {
        self.prices.cost(usage)
    }

    /// What the customer pays for `usage`: exact until the one rounding.
    pub fn charge(&self, usage: &Usage, rate: ExchangeRate) -> Nanos {
        self.charge.of(&self.prices, usage, rate)
    }

    /// What the customer pays for `usage` in US dollars, rounded up to the exact
    /// unit: to be held against a reservation, not to be billed.
    pub fn bound(&self, usage: &Usage) -> PicoUsd {
        self.charge.most(&self.prices, |prices| prices.cost(usage))
    }

    /// What the customer can owe at most for a call that asks for `tier`; see
    /// [`Prices::worst_case`].
    pub fn worst_case(&self, input_tokens: u64, output_tokens: u64, tier: ServiceTier) -> PicoUsd {
        let worst = |prices: &Prices| prices.worst_case(input_tokens, output_tokens, tier);
        self.charge.most(&self.prices, worst)
    }

    /// The same where it is known what the input is made of.
    pub fn worst_case_at_most(&self, most: &Most, tier: ServiceTier) -> PicoUsd {
        let worst = |prices: &Prices| prices.worst_case_at_most(most, tier);
        self.charge.most(&self.prices, worst)
    }

    /// What the customer can owe at most for a call that is no chat; see
    /// [`Prices::worst_case_of`].
    pub fn worst_case_of(&self, work: &Work) -> PicoUsd {
        let worst = |prices: &Prices| prices.worst_case_of(work);
        self.charge.most(&self.prices, worst)
    }

    /// Whether tokens are paid for, by us or by the customer.
    pub fn has_token_price(&self) -> bool {
        self.either(Prices::has_token_price)
    }

    /// Whether pieces or requests are paid for, by us or by the customer.
    pub fn has_piece_price(&self) -> bool {
        self.either(Prices::has_piece_price)
    }

    fn either(&self, has: fn(&Prices) -> bool) -> bool {
        self.charge.own().is_some_and(has) || has(&self.prices)
    }

    /// Whether both what it costs and what is charged is known of a tier.
    pub fn knows(&self, tier: ServiceTier) -> bool {
        let charged = self.charge.own().is_none_or(|own| own.knows(tier));
        charged && self.prices.knows(tier)
    }

    /// Whether both what a web search costs and what is charged for it is known.
    pub fn knows_searches(&self) -> bool {
        let known = |prices: &Prices| prices.web_search.is_some();
        self.charge.own().is_none_or(known) && known(&self.prices)
    }

    /// The charge as `price_versions` holds it: empty where the customer pays what
    /// the provider takes.
    pub(crate) fn charge_text(&self) -> String {
        if self.charge == Charge::NONE {
            return String::new();
        }
        serde_json::to_string(&self.charge).expect("prices are plain numbers")
    }

    /// The operator's own prices for a provider's model.
    pub fn own(provider: &str, model: &str, own: &OwnPrices) -> Self {
        Self::new(provider, model, "own", own.0.clone(), None, None)
    }

    /// No price at all, for calls that never reached a provider.
    pub fn free() -> Self {
        Self::new("", "", "none", Prices::default(), None, None)
    }

    /// The same for an answer that is given again: so many percent of what is charged
    /// for the call, 100 at most.
    #[must_use]
    pub fn share(&self, percent: u32) -> Self {
        self.charged(Charge::Share {
            of: Box::new(self.charge.clone()),
            percent: percent.min(100),
        })
    }

    /// The same prices of the provider, charged otherwise.
    pub(crate) fn charged(&self, charge: Charge) -> Self {
        let mut version = self.clone();
        version.id = id(
            &self.provider,
            &self.model,
            self.source,
            &self.prices,
            &charge,
        );
        version.charge = charge;
        version
    }

    pub(crate) fn new(
        provider: &str,
        model: &str,
        source: &'static str,
        prices: Prices,
        max_output_tokens: Option<u64>,
        max_input_tokens: Option<u64>,
    ) -> Self {
        Self {
            id: id(provider, model, source, &prices, &Charge::NONE),
            provider: provider.to_owned(),
            model: model.to_owned(),
            source,
            prices,
            charge: Charge::NONE,
            max_output_tokens,
            max_input_tokens,
        }
    }
}

fn id(provider: &str, model: &str, source: &str, prices: &Prices, charge: &Charge) -> Id {
    let content = if *charge == Charge::NONE {
        serde_json::to_string(&(provider, model, source, prices))
    } else {
        serde_json::to_string(&(provider, model, source, prices, charge))
    };
    Id::of_content(content.expect("prices are plain numbers").as_bytes())
}

use cf_base::{Extra, Timestamp, Work};
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn find(provider: &str, model: &str, region: &str) -> std::sync::Arc<PriceVersion> {
    let found = PriceBook::built_in().find(NOW, provider, model, region);
    found.unwrap_or_else(|| panic!("{provider} {model} is in the book"))
}

fn micros(input: i64, output: i64) -> (PriceMicros, PriceMicros) {
    (PriceMicros(input), PriceMicros(output))
}

#[test]
fn the_book_knows_what_the_catalogue_says() {
    let book = PriceBook::built_in();
    let gpt = find("openai", "gpt-5", "");
    assert_eq!(gpt.prices.input, PriceMicros(1_250_000));
    assert_eq!(gpt.prices.output, PriceMicros(10_000_000));
    assert_eq!(gpt.prices.cache_read, Some(PriceMicros(125_000)));
    assert_eq!(gpt.max_output_tokens, Some(128_000));
    assert!(book.find(NOW, "openai", "no-such-model", "").is_none());
    assert!(book.all().len() > 1_000, "{} versions", book.all().len());
}

#[test]
fn a_long_context_takes_the_tier_for_all_of_its_tokens() {
    let model = find("openai", "gpt-5.6", "");
    let at = Usage {
        input: 272_000,
        ..Usage::default()
    };
    let above = Usage {
        input: 1,
        cache_read: 272_000,
        ..Usage::default()
    };
    assert_eq!(
        model.provider_cost(&at),
        PriceMicros(4_000_000).times(272_000)
    );
    assert_eq!(
        model.provider_cost(&above),
        PriceMicros(8_000_000).times(1) + PriceMicros(800_000).times(272_000)
    );
}

#[test]
fn the_tier_that_served_sets_the_price() {
    let model = find("openai", "gpt-5.4", "");
    let usage = |tier, input| Usage {
        input,
        output: 10,
        extra: Extra {
            tier,
            ..Extra::default()
        },
        ..Usage::default()
    };
    for (tier, input, expected) in [
        (ServiceTier::Standard, 1_000, micros(2_500_000, 15_000_000)),
        (ServiceTier::Priority, 1_000, micros(5_000_000, 30_000_000)),
        (ServiceTier::Flex, 1_000, micros(1_250_000, 7_500_000)),
        (ServiceTier::Flex, 300_000, micros(2_500_000, 11_250_000)),
        // The catalogue has no price of a long context at priority: the dearer one.
        (
            ServiceTier::Priority,
            300_000,
            micros(5_000_000, 30_000_000),
        ),
        // And none of this tier at all: the usual price.
        (ServiceTier::Decisions, 1_000, micros(2_500_000, 15_000_000)),
    ] {
        let cost = model.provider_cost(&usage(tier, input));
        let expected = expected.0.times(input) + expected.1.times(10);
        assert_eq!(cost, expected, "{tier} {input}");
    }
    assert!(model.knows(ServiceTier::Priority) && model.knows(ServiceTier::Flex));
    assert!(!model.knows(ServiceTier::Ultrafast));
    let worst = |tier| model.worst_case(1_000, 10, tier);
    assert_eq!(
        worst(ServiceTier::Priority).0,
        5_000_000 * 1_000 + 30_000_000 * 10
    );
    assert_eq!(
        worst(ServiceTier::Flex),
        worst(ServiceTier::Standard),
        "a cheap tier is not promised"
    );
}

#[test]
fn a_region_may_have_prices_of_its_own() {
    let gpt = |region| find("openai", "gpt-5.4", region).prices.input;
    assert_eq!(gpt("eu"), PriceMicros(2_750_000), "1.1 times");
    assert_eq!(gpt("asia"), gpt(""));
    let azure = |region| find("azure", "gpt-4.1", region).prices.input;
    assert_eq!((azure(""), azure("eu")), micros(2_000_000, 2_200_000));
    let gemini = |region| {
        find("vertex", "gemini-3-flash-preview", region)
            .prices
            .input
    };
    assert_eq!(gemini("global"), gemini(""));
    // Known by region only: the dearest where the region is not told.
    assert_eq!(
        find("azure", "o1-preview", "").prices.input,
        find("azure", "o1-preview", "eu").prices.input
    );
}

#[test]
fn claude_in_the_us_or_in_a_hurry_costs_more() {
    let model = find("anthropic", "claude-opus-4-8", "");
    let usage = |us_only, fast| Usage {
        output: 1_000_000,
        extra: Extra {
            us_only,
            fast,
            ..Extra::default()
        },
        ..Usage::default()
    };
    let plain = model.provider_cost(&usage(false, false)).0;
    assert_eq!(model.provider_cost(&usage(true, false)).0, plain / 10 * 11);
    assert!(model.provider_cost(&usage(false, true)).0 > plain);
    // Half price in bulk is half for an hour's cache too, which no list says.
    let batch = &model.prices.service_tiers[&ServiceTier::Batch];
    assert_eq!(
        batch.cache_write_1h.unwrap().0 * 2,
        model.prices.cache_write_1h.unwrap().0
    );
}

#[test]
fn pieces_are_billed_beside_tokens() {
    let own = serde_json::json!({"input": 1, "output": 2, "image": 0.04, "web_search": 0.01,
        "request": 0.005, "image_input": 3, "image_output": 4, "cache_read_audio": 0.5});
    let prices = OwnPrices::parse(&own).unwrap().unwrap().0;
    let usage = Usage {
        cache_read: 10,
        extra: Extra {
            image_input: 100,
            image_output: 1_000,
            cache_read_audio: 4,
            images: 2,
            web_searches: 3,
            ..Extra::default()
        },
        ..Usage::default()
    };
    // 6 × 1 + 4 × 0.5 + 100 × 3 + 1000 × 4 micro-dollars, and 0.08 + 0.03 + 0.005 dollars.
    let expected = (6_000_000 + 2_000_000 + 300_000_000 + 4_000_000_000) + 115_000_000_000;
    assert_eq!(prices.cost(&usage).0, expected);
    let searches = |model| {
        let searched = Usage {
            extra: Extra {
                web_searches: 3,
                ..Extra::default()
            },
            ..Usage::default()
        };
        find("gemini", model, "").provider_cost(&searched).0 / 1_000_000_000
    };
    assert_eq!(searches("gemini-2.5-flash"), 35, "for the prompt");
    assert_eq!(searches("gemini-3-flash-preview"), 3 * 14, "for each query");
}

#[test]
fn own_prices_are_read_from_the_record() {
    let own = |text| OwnPrices::parse(&serde_json::from_str(text).expect("JSON"));
    let read = own(r#"{"input": 0.15, "output": "0.6", "cached_input": 0.075,
        "tiers": [{"above_input_tokens": 1000, "input": 0.3, "output": 0.9}],
        "service_tiers": {"priority": {"input": 0.2, "output": 1}}}"#)
    .expect("prices")
    .expect("set")
    .0;
    assert_eq!(read.input, PriceMicros(150_000));
    assert_eq!(read.output, PriceMicros(600_000));
    assert_eq!(read.cache_read, Some(PriceMicros(75_000)));
    let priority = &read.service_tiers[&ServiceTier::Priority];
    assert_eq!(priority.tiers[0].prices.input, PriceMicros(300_000));
    assert_eq!(priority.tiers[0].prices.output, PriceMicros(1_000_000));
    assert_eq!(own("{}"), Ok(None));
    assert_eq!(own(r#"{"input": null}"#), Ok(None));
    for wrong in [
        r#"{"input": 1}"#,
        r#"{"input": -1, "output": 1}"#,
        r#"{"inptu": 1}"#,
        r#"{"input": 1, "output": 1, "service_tiers": {"turbo": {"input": 1, "output": 1}}}"#,
        r#"{"input": 1, "output": 1, "tiers": [{"input": 1, "output": 1}]}"#,
    ] {
        assert!(own(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_price_list_has_a_model_once_and_with_prices() {
    let list = |text| PriceList::parse(&serde_json::from_str(text).expect("JSON"));
    let read = list(r#"[{"model": "small", "input": 2, "output": 8}]"#).expect("a list");
    assert_eq!(
        read.find("small").expect("on it").input,
        PriceMicros(2_000_000)
    );
    assert!(read.find("large").is_none());
    assert!(list("[]").expect("empty").is_empty() && list("null").expect("none").is_empty());
    for wrong in [
        r#"{"model": "small"}"#,
        r#"[{"input": 2, "output": 8}]"#,
        r#"[{"model": "small"}]"#,
        r#"[{"model": "small", "input": 2}]"#,
        r#"[{"model": "a", "input": 2, "output": 8}, {"model": "a", "input": 2, "output": 8}]"#,
    ] {
        assert!(list(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_charged_is_part_of_the_version() {
    let plain = find("openai", "gpt-5", "");
    let margin = |percent| Charge::Margin(cf_base::Margin::of_percent(percent).unwrap());
    let dearer = plain.charged(margin(20.0));
    assert_ne!(plain.id, dearer.id);
    assert_ne!(plain.charged(margin(21.0)).id, dearer.id);
    assert_eq!(plain.charged(Charge::NONE).id, plain.id);
    let usage = Usage {
        input: 1_000,
        ..Usage::default()
    };
    // 1,000 × 1.25 USD a million = 0.00125 USD; with 20 % 0.0015 USD; in EUR 0.00135.
    let rate = cf_base::ExchangeRate(900_000_000);
    assert_eq!(dearer.charge(&usage, rate), cf_base::Nanos(1_350_000));
    assert_eq!(dearer.provider_cost(&usage), plain.provider_cost(&usage));
    let own = Charge::Prices(std::sync::Arc::new(Prices {
        input: PriceMicros(3_000_000),
        ..Prices::default()
    }));
    assert_eq!(
        plain.charged(own).charge(&usage, rate),
        cf_base::Nanos(2_700_000)
    );
}

proptest! {
    #[test]
    fn no_call_costs_more_than_its_worst_case(
        input in 0u64..400_000, read in 0u64..400_000, write in 0u64..1000, hour in 0u64..1000,
        output in 0u64..200_000, reasoning in 0u64..200_000, image in 0u64..1000,
        us_only: bool, priority: bool, percent in -100i32..200,
    ) {
        let tier = if priority { ServiceTier::Priority } else { ServiceTier::Standard };
        let usage = Usage {
            input, cache_read: read, cache_write: write, cache_write_1h: hour,
            output, reasoning: reasoning.min(output),
            extra: Extra { tier, us_only, image_input: image, ..Extra::default() },
            ..Usage::default()
        };
        static ALL: std::sync::LazyLock<Vec<std::sync::Arc<PriceVersion>>> =
            std::sync::LazyLock::new(|| PriceBook::built_in().all());
        let margin = cf_base::Margin::of_percent(f64::from(percent)).expect("a margin");
        let rate = cf_base::ExchangeRate(912_345_678);
        for model in ALL.iter().step_by(29) {
            let model = model.charged(Charge::Margin(margin));
            let worst = model.worst_case(usage.prompt_tokens(), usage.completion_tokens(), tier);
            prop_assert!(model.bound(&usage) <= worst, "{}", model.model);
            prop_assert!(model.charge(&usage, rate) <= worst.convert(rate), "{}", model.model);
        }
    }

    #[test]
    fn nor_more_than_the_worst_case_at_most_what_it_is_made_of(
        text in 0u64..400_000, cached in 0u64..1000, sound in 0u64..1000, picture in 0u64..1000,
        writes in 0usize..3, output in 0u64..200_000, searches in 0u64..20,
    ) {
        let writes = [CacheWrites::None, CacheWrites::Short, CacheWrites::Hour][writes];
        let usage = Usage {
            input: text,
            cache_read: cached,
            cache_write: if writes >= CacheWrites::Short { cached } else { 0 },
            cache_write_1h: if writes >= CacheWrites::Hour { cached } else { 0 },
            audio_input: sound,
            output,
            extra: Extra { image_input: picture, web_searches: searches, ..Extra::default() },
            ..Usage::default()
        };
        let most = Most {
            text: text + cached + usage.cache_write + usage.cache_write_1h,
            pictures: picture,
            sound,
            cache_writes: writes,
            output,
            web_searches: searches,
            ..Most::default()
        };
        static ALL: std::sync::LazyLock<Vec<std::sync::Arc<PriceVersion>>> =
            std::sync::LazyLock::new(|| PriceBook::built_in().all());
        for model in ALL.iter().step_by(29) {
            let worst = model.worst_case_at_most(&most, ServiceTier::Standard);
            prop_assert!(model.bound(&usage) <= worst, "{}", model.model);
        }
    }
}

#[test]
fn what_is_billed_by_the_piece_is_in_the_book() {
    let pieces = |characters, audio_seconds, images, units| Usage {
        extra: Extra {
            characters,
            audio_seconds,
            images,
            units,
            ..Extra::default()
        },
        ..Usage::default()
    };
    // 0.015 US dollars for a thousand characters.
    let speech = find("openai", "tts-1", "");
    let cost = speech.provider_cost(&pieces(2_000, 0, 0, 0));
    assert_eq!(cost, PicoUsd(30_000_000_000));
    // 0.006 for a minute, once although the catalogue has the price twice.
    let whisper = find("openai", "whisper-1", "");
    let cost = whisper.provider_cost(&pieces(0, 60, 0, 0));
    assert_eq!(cost, PicoUsd(6_000_000_000));
    // 0.002 for each hundred documents.
    let rerank = find("bedrock", "cohere.rerank-v3-5:0", "");
    assert_eq!(
        rerank.provider_cost(&pieces(0, 0, 0, 0)),
        PicoUsd(2_000_000_000)
    );
    assert_eq!(
        rerank.provider_cost(&pieces(0, 0, 0, 3)),
        PicoUsd(6_000_000_000)
    );
}

#[test]
fn a_picture_costs_by_its_quality_and_size() {
    let book = PriceBook::built_in();
    let price = |provider: &str, model: &str, variant: &str| {
        let found = book.find(NOW, provider, &of_variant(model, variant), "")?;
        found.prices.image
    };
    // Some 0.044 and 0.132 US dollars, which the catalogue has by the pixel.
    let standard = price("azure", "dall-e-3", "standard/1024-x-1024");
    assert_eq!(standard, Some(PriceMicros(44_000)));
    let high = price("azure", "dall-e-3", "hd/1024-x-1792");
    assert_eq!(high, Some(PriceMicros(131_999)));
    let by_piece = price("openai", "gpt-image-1", "high/1024-x-1024");
    assert_eq!(by_piece, Some(PriceMicros(167_000)));
    assert_eq!(price("openai", "gpt-image-1", "best/1-x-1"), None);
}

#[test]
fn an_operator_says_what_a_minute_and_a_million_characters_cost() {
    let json = serde_json::json!({"input": 0, "output": 0, "audio_minute": 0.006, "character": 15});
    let own = OwnPrices::parse(&json).unwrap().unwrap();
    let version = PriceVersion::own("openai_compatible", "whisper", &own);
    let mut usage = Usage::default();
    usage.extra.audio_seconds = 90;
    assert_eq!(version.provider_cost(&usage), PicoUsd(9_000_000_000));
    usage.extra.audio_seconds = 0;
    usage.extra.characters = 1_000;
    assert_eq!(version.provider_cost(&usage), PicoUsd(15_000_000_000));
}

#[test]
fn what_is_counted_in_tokens_is_not_billed_by_the_piece_too() {
    let picture = find("gemini", "gemini-2.5-flash-image", "");
    assert_eq!(
        (picture.prices.image, picture.prices.image_output),
        (None, Some(PriceMicros(30_000_000)))
    );
    let transcript = find("openai", "gpt-4o-transcribe", "");
    assert_eq!(transcript.prices.audio_second, None);
    assert_eq!(
        find("vertex", "gemini-2.5-flash-image", "").prices.image,
        None
    );
    assert!(
        find("gemini", "imagen-3.0-generate-001", "")
            .prices
            .image
            .is_some()
    );
}

proptest! {
    #[test]
    fn a_call_costs_no_more_than_was_worked_out_for_it(
        price in proptest::collection::vec(0_i64..1_000_000_000, 9),
        tokens in (0_u64..100_000, 0_u64..100_000, 0_u64..10_000, 0_u64..10_000),
        pieces in (0_u64..20, 0_u64..100_000, 0_u64..100_000, 0_u64..30),
    ) {
        let some = |at: usize| Some(PriceMicros(price[at]));
        let prices = Prices {
            input: PriceMicros(price[0]),
            output: PriceMicros(price[1]),
            image_input: some(2),
            image_output: some(3),
            audio_input: some(4),
            image: some(5),
            character: some(6),
            audio_second: some(7),
            request: some(8),
            ..Prices::default()
        };
        let (images, characters, audio_seconds, units) = pieces;
        let pieces = Extra { images, characters, audio_seconds, units, ..Extra::default() };
        let (input, output, image_input, audio_input) = tokens;
        let work = Work { input: input + image_input + audio_input, output, pieces };
        let extra = Extra { image_input, image_output: output, ..pieces };
        let used = Usage { input, audio_input, extra, ..Usage::default() };
        prop_assert!(prices.cost(&used) <= prices.worst_case_of(&work));
    }
}

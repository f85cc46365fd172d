//! What a picture counts as, by the rules that providers publish. They change
//! with every generation of models: where sources differ the dearer one stands
//! here, as it is a bound and not a bill.

use crate::anthropic::claude::Claude;
use crate::tokens::IMAGE_BOUND;

/// Width and height in pixels.
pub(crate) type Size = (u64, u64);

/// How closely a client wants a picture looked at (OpenAI's `detail`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Detail {
    /// Coarsely.
    Low,
    /// Not coarsely.
    High,
    /// Not said, left to the model, or as it is: the most a model does.
    #[default]
    Most,
}

/// How a model's provider counts pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PictureRule {
    /// OpenAI's older rule: so much for the picture and for each tile of 512
    /// pixels, after it was made to fit.
    Tiles { base: u64, tile: u64 },
    /// OpenAI's newer one: squares of 32 pixels, in hundredths of a token, and
    /// the most of them by detail.
    Patches {
        hundredths: u64,
        high: u64,
        most: u64,
    },
    /// Anthropic's: squares of 28 pixels, up to so many tokens.
    Claude { most: u64 },
    /// Google's up to 2.5: tiles of 258 tokens.
    GeminiTiles,
    /// So many, whatever the picture.
    Flat(u64),
    /// Mistral's: squares in rows, with a mark after each row.
    Mistral,
    /// Amazon Nova's, of which only examples are published.
    Nova,
}

/// Most tiles that Google cuts a picture into; it is made smaller before.
const GEMINI_TILES: u64 = 32;
const GEMINI_TILE: u64 = 258;
/// Gemini 3's largest setting is 2,240.
const GEMINI_3: u64 = 2_500;
/// Mistral's models look at pictures in one of these ways: how long a side is made
/// at most, and the side of a square that is one token. (Pixtral 12B; Small, Medium
/// and Large from version 3 on, which take four squares of 14 together.)
const MISTRAL: [(u64, u64); 2] = [(1_024, 16), (1_540, 28)];
/// Pixels of Nova's tokens at least: the published examples have 506 to 700.
const NOVA_PIXELS: u64 = 450;
/// Nova makes small pictures larger: one side at least this long, and the sides in
/// one of a few proportions.
const NOVA_SIDE: u64 = 896;
/// The words around a picture.
const AROUND: u64 = 32;

impl PictureRule {
    /// OpenAI's rule for a model of this name; none for names that are not its.
    pub(crate) fn openai(model: &str) -> Option<Self> {
        const OLD: u64 = 1_536;
        let patches = |hundredths, high, most| Self::Patches {
            hundredths,
            high,
            most,
        };
        let tiles = |base, tile| Self::Tiles { base, tile };
        let is = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
        Some(if is(&["gpt-4o-mini"]) {
            tiles(2_833, 5_667)
        } else if is(&["gpt-4.1-mini"]) {
            patches(162, OLD, OLD)
        } else if is(&["gpt-4.1-nano"]) {
            patches(246, OLD, OLD)
        } else if is(&["gpt-4", "chatgpt-4o"]) {
            tiles(85, 170)
        } else if is(&["gpt-5-mini"]) {
            patches(162, OLD, OLD)
        } else if is(&["gpt-5-nano"]) {
            patches(246, OLD, OLD)
        } else if model == "gpt-5" || is(&["gpt-5-2", "gpt-5-chat", "gpt-5.1"]) {
            tiles(85, 170)
        } else if is(&["o4-mini", "codex-mini"]) {
            patches(172, OLD, OLD)
        } else if model == "o1" || model == "o3" || is(&["o1-", "o3-"]) {
            tiles(75, 150)
        } else if is(&["computer-use-preview"]) {
            tiles(85, 170)
        } else if is(&["gpt-5", "gpt-6"]) {
            // 1.2 was measured of all of them; the smallest of the generation
            // before is documented at 2.46.
            patches(246, 2_500, 10_000)
        } else {
            return None;
        })
    }

    pub(crate) fn claude(model: &str) -> Self {
        // 1,568 and 4,784 by squares; by width times height over 750, as it was
        // documented before, a little more.
        let most = if Claude::of(model).sees_finely() {
            5_100
        } else {
            1_700
        };
        Self::Claude { most }
    }

    pub(crate) fn gemini(model: &str) -> Self {
        let model = model.trim_start_matches("models/");
        let old = ["gemini-1", "gemini-2", "gemma"];
        if old.iter().any(|old| model.starts_with(old)) {
            Self::GeminiTiles
        } else {
            Self::Flat(GEMINI_3)
        }
    }

    /// Tokens that a picture counts as at most; its size is not known where it
    /// lies elsewhere.
    pub(crate) fn bound(self, size: Option<Size>, detail: Detail) -> u64 {
        let tokens = match self {
            Self::Tiles { base, .. } if detail == Detail::Low => base,
            Self::Tiles { base, tile } => base + tile * size.map_or(MOST_TILES, tiles),
            Self::Patches {
                hundredths,
                high,
                most,
            } => {
                let most = if detail == Detail::Most { most } else { high };
                let patches = size.map_or(most, |size| squares(size, 32)).min(most);
                // A small one may be enlarged to 512 pixels.
                (patches.max(256) * hundredths).div_ceil(100)
            }
            Self::Claude { most } => size.map_or(most, |size| {
                let by_area = size.0.saturating_mul(size.1).div_ceil(750);
                squares(size, 28).max(by_area).min(most)
            }),
            Self::GeminiTiles => {
                let tiles = size.map_or(GEMINI_TILES, |(width, height)| {
                    let tile = (width.min(height) / 3 * 2).clamp(256, 768);
                    squares((width, height), tile).min(GEMINI_TILES)
                });
                GEMINI_TILE * (tiles + 1)
            }
            Self::Flat(tokens) => tokens,
            Self::Mistral => {
                let ways = MISTRAL.into_iter();
                let counted =
                    ways.map(|(most, side)| in_rows(size.unwrap_or((most, most)), most, side));
                counted.max().unwrap_or(IMAGE_BOUND)
            }
            Self::Nova => size.map_or(IMAGE_BOUND, |(width, height)| {
                // What the proportions add is a part of the shorter side.
                let side = |n: u64| n.max(NOVA_SIDE).saturating_add(100);
                side(width)
                    .saturating_mul(side(height))
                    .div_ceil(NOVA_PIXELS)
            }),
        };
        (tokens + AROUND).min(IMAGE_BOUND)
    }
}

/// Most tiles of 512 pixels: 2,048 by 768, or by 1,024 where rounding is unkind.
const MOST_TILES: u64 = 8;

/// Squares of a picture that was made to fit into `most` pixels, and a mark a row.
fn in_rows((width, height): Size, most: u64, side: u64) -> u64 {
    let long = width.max(height).max(1);
    let fitted = |n: u64| match long <= most {
        true => n,
        false => n.saturating_mul(most).div_ceil(long),
    };
    let of = |n: u64| fitted(n).div_ceil(side).max(1);
    (of(width) + 1) * of(height)
}

fn squares((width, height): Size, side: u64) -> u64 {
    let across = width.div_ceil(side).max(1);
    across.saturating_mul(height.div_ceil(side).max(1))
}

/// Tiles of 512 pixels, after the picture was made to fit into a square of 2,048
/// and its shorter side made 768.
fn tiles((width, height): Size) -> u64 {
    let (long, short) = (width.max(height).max(1), width.min(height).max(1));
    let fitted = short.saturating_mul(2_048.min(long)).div_ceil(long).max(1);
    let shorter = fitted.min(768);
    let longer = (long.min(2_048) * shorter).div_ceil(fitted);
    let as_it_is = squares((longer, shorter), 512);
    // The rule does not say whether small ones are made larger.
    let enlarged = squares(
        ((long.saturating_mul(768)).div_ceil(short).min(2_048), 768),
        512,
    );
    as_it_is.max(enlarged).min(MOST_TILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openai(model: &str, size: Size, detail: Detail) -> u64 {
        let rule = PictureRule::openai(model).expect("a rule");
        rule.bound(Some(size), detail) - AROUND
    }

    /// The examples that the providers' pages work out.
    #[test]
    fn published_examples_are_bounded_closely() {
        for (model, size, detail, tokens) in [
            ("gpt-4o", (1_024, 1_024), Detail::High, 765),
            ("gpt-4o", (2_048, 4_096), Detail::High, 1_105),
            ("gpt-4o", (4_096, 8_192), Detail::Low, 85),
            (
                "gpt-4o-mini",
                (1_024, 1_024),
                Detail::Most,
                2_833 + 4 * 5_667,
            ),
            ("o1", (1_024, 1_024), Detail::High, 75 + 4 * 150),
            ("gpt-4.1-mini", (1_024, 1_024), Detail::Most, 1_659),
            ("o4-mini", (1_800, 2_400), Detail::High, 2_642),
        ] {
            assert_eq!(openai(model, size, detail), tokens, "{model} {size:?}");
        }
        // The page counts 1,452 squares of this one, the rule allows 1,536.
        assert_eq!(openai("gpt-4.1-nano", (1_800, 2_400), Detail::Most), 3_779);
        // Measured: 3,008 for 1,600 by 1,600.
        assert!(openai("gpt-5.4", (1_600, 1_600), Detail::High) >= 3_008);
        assert_eq!(PictureRule::openai("grok-4"), None);
    }

    #[test]
    fn claude_is_bounded_by_generation() {
        let claude = |model, size| PictureRule::claude(model).bound(size, Detail::Most) - AROUND;
        // Documented: about 54, 1,334 and 1,590 tokens.
        assert_eq!(claude("claude-3-7-sonnet", Some((200, 200))), 64);
        assert_eq!(claude("claude-3-7-sonnet", Some((1_000, 1_000))), 1_334);
        assert_eq!(claude("claude-sonnet-4-5", Some((1_092, 1_092))), 1_590);
        // Measured: 1,561 at most before 4.7.
        assert_eq!(claude("claude-opus-4-6", Some((8_000, 8_000))), 1_700);
        assert_eq!(claude("claude-opus-4-7", None), 5_100);
        assert_eq!(claude("my-deployment", None), 5_100);
    }

    #[test]
    fn gemini_is_bounded_by_tiles_or_by_setting() {
        let gemini = |model, size| PictureRule::gemini(model).bound(size, Detail::Most) - AROUND;
        assert_eq!(gemini("gemini-2.5-flash", Some((300, 300))), 258 * 5);
        // The page cuts 960 by 540 into 3 by 2 tiles of 360.
        assert_eq!(gemini("gemini-2.0-flash", Some((960, 540))), 258 * 7);
        assert_eq!(gemini("gemini-2.5-pro", Some((9_000, 9_000))), 258 * 33);
        assert_eq!(gemini("gemini-3-pro-preview", None), 2_500);
    }

    #[test]
    fn mistral_is_bounded_by_squares_and_nova_by_pixels() {
        let mistral = |size| PictureRule::Mistral.bound(size, Detail::Most) - AROUND;
        // Pixtral's largest: 64 rows of 64 and a mark; what others make of it is less.
        assert_eq!(mistral(Some((1_024, 1_024))), 64 * 65);
        assert_eq!(mistral(None), 64 * 65);
        assert_eq!(mistral(Some((9_000, 9_000))), 64 * 65);
        assert_eq!(mistral(Some((224, 224))), 14 * 15);
        assert_eq!(mistral(Some((1, 1))), 2);
        let nova = |size| PictureRule::Nova.bound(size, Detail::Most) - AROUND;
        // The page's examples, about.
        for (size, tokens) in [
            ((900, 450), 800),
            ((900, 900), 1_300),
            ((1_400, 900), 1_800),
            ((1_800, 900), 2_400),
            ((1_300, 1_300), 2_600),
        ] {
            let bound = nova(Some(size));
            assert!((tokens..4 * tokens).contains(&bound), "{size:?}: {bound}");
        }
        assert_eq!(nova(Some((8_000, 8_000))), IMAGE_BOUND - AROUND);
    }

    #[test]
    fn no_size_counts_more_than_an_unknown_one() {
        let rules = ["gpt-4o", "gpt-4o-mini", "gpt-5-nano", "gpt-5.6", "o3"]
            .map(|model| PictureRule::openai(model).expect("a rule"))
            .into_iter()
            .chain([
                PictureRule::claude("claude-opus-5"),
                PictureRule::GeminiTiles,
                PictureRule::Mistral,
                PictureRule::Nova,
            ]);
        for rule in rules {
            for size in [
                (1, 1),
                (1, 100_000),
                (100_000, 1),
                (5_000, 5_000),
                (u64::MAX, 9),
            ] {
                for detail in [Detail::Most, Detail::High, Detail::Low] {
                    let known = rule.bound(Some(size), detail);
                    assert!(known <= rule.bound(None, detail), "{rule:?} {size:?}");
                }
            }
        }
    }
}

//! Ids of tool calls on their way through dialects.
//!
//! Gemini seals its thinking on the first call of a turn and refuses the next
//! request if the seal does not come back. Clients drop fields they do not know
//! but keep ids, so the seal travels in the id: `<id>__thought__<seal>`, where
//! the seal's `+` and `/` are `-` and `_` and its padding is left out. What goes
//! to another provider goes without it.

use std::borrow::Cow;

use cf_base::sha256_hex;

const MARK: &str = "__thought__";
/// Ids that were made here, for providers that have none.
const MADE: &str = "call_cf_";

/// An id for a call that came without one; `call` of the answer named `answer`.
pub(crate) fn made_id(answer: &str, call: usize) -> String {
    let tail: String = answer
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .rev()
        .take(16)
        .collect();
    format!("{MADE}{tail}{call}")
}

/// Whether the id is one that [`made_id`] made.
pub(crate) fn is_made(id: &str) -> bool {
    id.starts_with(MADE)
}

/// The id that carries a seal.
pub(crate) fn sealed_id(id: &str, seal: &str) -> String {
    let seal = seal.trim_end_matches('=');
    let mut sealed = String::with_capacity(id.len() + MARK.len() + seal.len());
    sealed.push_str(id);
    sealed.push_str(MARK);
    sealed.extend(seal.chars().map(|c| match c {
        '+' => '-',
        '/' => '_',
        c => c,
    }));
    sealed
}

/// The id, and the seal that it carries.
pub(crate) fn unseal_id(id: &str) -> (&str, Option<String>) {
    let Some((id, carried)) = id.split_once(MARK) else {
        return (id, None);
    };
    let mut seal: String = carried
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    while !seal.len().is_multiple_of(4) {
        seal.push('=');
    }
    (id, Some(seal).filter(|s| !s.is_empty()))
}

/// The id as a provider takes it: `most` bytes of letters, digits and what is
/// in `also`. The same id is always made the same, so that calls and results
/// still find each other, and two ids are never made one.
pub(crate) fn fit_id<'a>(id: &'a str, most: usize, also: &str) -> Cow<'a, str> {
    let (id, _) = unseal_id(id);
    let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if !id.is_empty() && id.len() <= most && id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    let mut digest = sha256_hex(id.as_bytes());
    digest.truncate(most.min(32));
    Cow::Owned(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_comes_back_as_it_went() {
        for seal in ["EpAD+/8=", "QUJD", "QUI=", "QQ=="] {
            let id = sealed_id("call_1", seal);
            assert!(
                id.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
                "{id}"
            );
            assert_eq!(unseal_id(&id), ("call_1", Some(seal.to_owned())));
        }
        assert_eq!(unseal_id("call_1"), ("call_1", None));
        assert_eq!(unseal_id("call_1__thought__"), ("call_1", None));
    }

    #[test]
    fn ids_are_made_to_fit_and_stay_apart() {
        assert_eq!(fit_id("toolu_01-x", 64, "_-"), "toolu_01-x");
        assert_eq!(fit_id("call_1__thought__QUJD", 64, "_-"), "call_1");
        let (a, b) = (fit_id("call:1", 9, ""), fit_id("call:2", 9, ""));
        assert_eq!((a.len(), b.len()), (9, 9));
        assert_ne!(a, b);
        assert_eq!(fit_id("", 64, "").len(), 32);
        assert!(is_made(&made_id("resp-1", 0)) && !is_made("call_1"));
    }
}

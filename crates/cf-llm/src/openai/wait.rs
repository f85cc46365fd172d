//! How long a provider wants to be left alone, in every shape they say it.

use std::time::Duration;

use cf_base::Timestamp;
use http::HeaderMap;
use serde_json::Value;

/// The longest wait that is believed.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The wait that is told, if any: by header, as Google's detail, in words, or, of
/// a provider that is at its limit, by when that is reset.
pub(crate) fn told(
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    is_limited: bool,
) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text("retry-after-ms")
        .and_then(|t| t.parse::<f64>().ok())
        .and_then(|ms| seconds(ms / 1000.0));
    let after = text("retry-after").and_then(|t| moment(t, now));
    // The larger where both stand: one of them may be rounded down to nothing.
    let asked = millis.max(after).or_else(|| in_body(body));
    if !is_limited {
        // Limits are told with every answer, and have nothing to do with this one.
        return asked.map(|wait| wait.min(LONGEST));
    }
    let wait = asked
        .or_else(|| {
            [
                "x-rate-limit-reset-tokens",
                "x-ratelimit-reset-tokens",
                "x-ratelimit-reset-requests",
            ]
            .into_iter()
            .find_map(|name| text(name).and_then(span))
        })
        .or_else(|| text("anthropic-ratelimit-tokens-reset").and_then(|t| moment(t, now)))?;
    Some(wait.min(LONGEST))
}

/// Seconds, or a date.
fn moment(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(n) = text.parse::<f64>() {
        return seconds(n);
    }
    let at = Timestamp::parse(text).or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis())
            .ok()
            .map(Timestamp::from_millis)
    })?;
    let millis = u64::try_from(at.millis_since(now)).ok()?;
    Some(Duration::from_millis(millis))
}

fn seconds(n: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(n).ok()
}

/// Google's `RetryInfo`, else the words of the message.
fn in_body(body: &[u8]) -> Option<Duration> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let body = body.get(0).unwrap_or(&body);
    let error = body.get("error").unwrap_or(body);
    let detail = error["details"]
        .as_array()
        .and_then(|list| list.iter().find_map(|d| d["retryDelay"].as_str()))
        .and_then(span);
    detail.or_else(|| error["message"].as_str().and_then(in_words))
}

/// "Please try again in 1.574s", "Please retry after 86400 seconds".
fn in_words(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let tail = ["try again in ", "retry in ", "retry after "]
        .iter()
        .find_map(|words| lower.split_once(words))?
        .1;
    let mut words = tail.split_whitespace();
    let number = words.next()?.trim_end_matches(['.', ',']);
    match words.next().map(|w| w.trim_end_matches(['.', ','])) {
        Some("second" | "seconds") => seconds(number.parse().ok()?),
        Some("minute" | "minutes") => seconds(number.parse::<f64>().ok()? * 60.0),
        Some("millisecond" | "milliseconds") => seconds(number.parse::<f64>().ok()? / 1000.0),
        _ => span(number),
    }
}

/// `48s`, `1m0s`, `120ms`, or bare seconds.
fn span(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "" | "s" => 1.0,
                "ms" => 0.001,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    seconds(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn wait(headers: &[(&str, &str)], body: &str) -> Option<u128> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.insert(name, value.parse().expect("a value"));
        }
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("a date");
        told(&map, body.as_bytes(), now, true).map(|d| d.as_millis())
    }

    #[test]
    fn when_a_limit_is_reset_is_told_with_every_answer_and_asks_for_no_wait() {
        let mut map = HeaderMap::new();
        map.insert("x-ratelimit-reset-tokens", "6m0s".parse().expect("a value"));
        let now = Timestamp::from_millis(0);
        assert_eq!(told(&map, b"", now, false), None);
        map.insert("retry-after", "3".parse().expect("a value"));
        let three = Some(Duration::from_secs(3));
        assert_eq!(told(&map, b"", now, false), three);
    }

    #[test]
    fn trap_6_and_25_a_wait_is_read_in_every_shape() {
        let words = |message: &str| {
            wait(
                &[],
                &serde_json::json!({"error": {"message": message}}).to_string(),
            )
        };
        assert_eq!(wait(&[("retry-after", "7")], ""), Some(7_000));
        assert_eq!(
            wait(&[("retry-after", "1"), ("retry-after-ms", "0")], ""),
            Some(1_000)
        );
        assert_eq!(
            wait(&[("retry-after", "0"), ("retry-after-ms", "250")], ""),
            Some(250)
        );
        assert_eq!(
            wait(&[("retry-after", "Tue, 24 Nov 2026 12:00:30 GMT")], ""),
            Some(30_000)
        );
        assert_eq!(
            wait(&[("x-rate-limit-reset-tokens", "42")], ""),
            Some(42_000)
        );
        assert_eq!(
            wait(&[("x-ratelimit-reset-tokens", "1m0s")], ""),
            Some(60_000)
        );
        assert_eq!(
            wait(
                &[("anthropic-ratelimit-tokens-reset", "2026-11-24T12:00:05Z")],
                ""
            ),
            Some(5_000)
        );
        let google = r#"{"error":{"details":[{"links":[]},{"retryDelay":"48s"}]}}"#;
        assert_eq!(wait(&[], google), Some(48_000));
        assert_eq!(words("Please try again in 1.574s."), Some(1_574));
        assert_eq!(words("Please try again in 6m0s. Visit"), Some(360_000));
        assert_eq!(words("Please try again in 20ms."), Some(20));
        assert_eq!(words("Please retry after 86400 seconds."), Some(86_400_000));
        assert_eq!(words("Please retry in 48.939935699s."), Some(48_939));
        for nothing in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"error":{"message":"retry after lunch"}}"#,
        ] {
            assert_eq!(wait(&[("retry-after", "soon")], nothing), None, "{nothing}");
        }
        assert_eq!(wait(&[("retry-after", "1e30")], ""), None);
        assert_eq!(wait(&[("retry-after", "999999999")], ""), Some(86_400_000));
    }
}

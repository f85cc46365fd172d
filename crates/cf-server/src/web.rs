//! The web part, embedded: the portal and the chat as one application.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Files;

/// What a page may load and do: only what this server sends.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// A file of the web part; any other path is a page of the application.
pub async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Files::get(path).filter(|_| path != "index.html") {
        return answer(&file, path.starts_with("assets/"), &headers);
    }
    if path.starts_with("assets/") {
        return (StatusCode::NOT_FOUND, "There is no such file.").into_response();
    }
    match Files::get("index.html") {
        Some(file) => answer(&file, false, &headers),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            Html(
                "<!doctype html><title>CloudFreedom</title><p>This build has no web part. \
                 Build it with <code>cargo xtask run</code>, or run <code>npm ci && npm run build</code> \
                 in <code>web/</code> and build again. The APIs work without it.",
            ),
        )
            .into_response(),
    }
}

fn answer(file: &EmbeddedFile, immutable: bool, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", cf_base::sha256_hex(&file.metadata.sha256_hash()));
    let unchanged = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    // File names under assets/ hold a hash of their content.
    let cache = if immutable {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let head = [
        (header::CACHE_CONTROL, cache.to_owned()),
        (header::ETAG, tag),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "same-origin".to_owned()),
    ];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let kind = file.metadata.mimetype().to_owned();
    (
        head,
        [(header::CONTENT_TYPE, kind)],
        file.data.clone().into_owned(),
    )
        .into_response()
}

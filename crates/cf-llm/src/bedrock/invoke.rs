//! InvokeModel's stream: the model's own events, in base64, in events of AWS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::frame::aws::AwsEvent;
use crate::wire::prompt::Text;

#[derive(Deserialize)]
struct ChunkWire<'a> {
    #[serde(borrow)]
    bytes: Text<'a>,
}

/// The model's own event; `None` where there is none in it.
pub(crate) fn native_event(event: &AwsEvent) -> Option<Bytes> {
    let chunk: ChunkWire<'_> = serde_json::from_slice(&event.payload).ok()?;
    STANDARD.decode(&*chunk.bytes.0).ok().map(Bytes::from)
}

/// The event as Anthropic itself would send it.
pub(crate) fn as_sse(data: &[u8]) -> Bytes {
    #[derive(Deserialize)]
    struct KindWire<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
    }
    let kind = serde_json::from_slice::<KindWire<'_>>(data);
    let mut out = Vec::with_capacity(data.len() + 48);
    if let Ok(KindWire { kind: Text(kind) }) = &kind {
        out.extend_from_slice(b"event: ");
        out.extend(kind.bytes().filter(|b| !matches!(b, b'\n' | b'\r')));
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend(
        data.iter()
            .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }),
    );
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

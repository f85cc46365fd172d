//! One connection of a load generator.

// A program for measurements: its tasks end with it.
#![allow(clippy::disallowed_methods)]

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Who is asked, and how.
pub struct Target {
    pub address: SocketAddr,
    pub path: String,
    authorization: Option<String>,
}

impl Target {
    /// Only loopback addresses are accepted, so that a misspelt address cannot become an attack on somebody.
    pub fn new(address: &str, path: &str, key: Option<&str>) -> Result<Self> {
        let address: SocketAddr = address
            .parse()
            .context("`--address` is no IP address with a port")?;
        if !address.ip().is_loopback() {
            bail!("only loopback addresses are measured");
        }
        Ok(Self {
            address,
            path: path.to_owned(),
            authorization: key.map(|key| format!("Bearer {key}")),
        })
    }

    pub async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the connection, which ends when the sender is dropped.
        tokio::spawn(connection);
        Ok(sender)
    }

    pub fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::post(self.path.as_str())
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        Ok(request.body(Full::new(body))?)
    }
}

/// A text in a line of JSON; what is neither ASCII nor printed becomes a space.
pub fn json_text(text: &str) -> String {
    // `Debug` of a string escapes what JSON wants escaped for the plain text that errors are.
    format!(
        "{:?}",
        text.replace(|c: char| !c.is_ascii() || c.is_ascii_control(), " ")
    )
}
